//! Stores that lose what they held, one at a time and with nothing else broken: so what
//! is lost by the fault itself is known exactly, and the product must say so.

mod kafka;
mod mongodb;

use std::sync::Arc;
use std::time::Duration;

use super::check::Findings;
use super::fault::{Server, Setback};
use super::fleet::Fleet;
use super::ledger::Ledger;
use super::load::Load;
use super::losses::Losses;

/// For the product to notice, and to say so.
const NOTICE: Duration = Duration::from_secs(60);

/// What a setback took, and what the product said about it.
#[derive(Debug)]
pub struct Taken {
    pub setback: Setback,
    pub lost: String,
    /// Nothing where it said nothing.
    pub reported: Option<String>,
}

/// What the setbacks of a run have left behind.
#[derive(Default)]
pub struct Aftermath {
    pub losses: Losses,
    pub taken: Vec<Taken>,
    /// What was found broken before the run went on.
    pub findings: Findings,
    /// What the operator's tool said where the documented command did not help.
    pub unhelpful: Vec<String>,
}

impl Aftermath {
    fn helps(&mut self, command: &str, said: Result<String, String>) {
        self.unhelpful.extend(said.err().map(|said| format!("outboxctl {command}: {said}")));
    }
}

impl Fleet {
    /// Does it, `after` the copy was made or the readers were halted, and then what the
    /// documentation asks of an operator.
    pub async fn set_back(
        &self,
        setback: Setback,
        after: Duration,
        load: Load,
        ledger: &Arc<Ledger>,
        aftermath: &mut Aftermath,
    ) -> Load {
        self.wait_until_ready().await;
        let (lost, reported, load) = match setback {
            Setback::MysqlRestored => {
                let (lost, reported) = self.restore_mysql(after).await;
                (lost, reported, load)
            }
            Setback::OffsetsDeleted => {
                self.delete_offsets(after).await;
                ("nothing".to_owned(), Some("nothing to report".to_owned()), load)
            }
            Setback::RecordsDeleted => {
                let (lost, reported) = self.delete_records(after, aftermath).await;
                (lost, reported, load)
            }
            Setback::MongodbRestored => self.restore_mongodb(after, load, ledger, aftermath).await,
        };
        aftermath.taken.push(Taken { setback, lost, reported });
        load
    }

    async fn restore_mysql(&self, after: Duration) -> (String, Option<String>) {
        let mysql = Server::Mysql.name();
        self.servers.copy_data(mysql).await;
        tokio::time::sleep(after).await;
        let before = self.rewound().await;
        self.servers.put_back(mysql).await;
        let reported = noticed(async || {
            let now = self.rewound().await;
            (now > before).then(|| format!("projector_rewound_total {now}"))
        });
        (format!("all rows of {:.1} s", after.as_secs_f64()), reported.await)
    }

    /// How often projectors went back to the position that MySQL knows.
    async fn rewound(&self) -> f64 {
        let mut sum = 0.0;
        for projector in &self.projectors {
            sum += projector.lock().await.metrics().await.sum("projector_rewound_total");
        }
        sum
    }
}

/// Nothing where it is not said in time.
async fn noticed(mut look: impl AsyncFnMut() -> Option<String>) -> Option<String> {
    let deadline = tokio::time::Instant::now() + NOTICE;
    while tokio::time::Instant::now() < deadline {
        let said = look().await;
        if said.is_some() {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

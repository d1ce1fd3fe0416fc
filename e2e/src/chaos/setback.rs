//! Stores that lose what they held, one at a time and with nothing else broken: so what
//! is lost by the fault itself is known exactly, and the product must say so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::check::{self, Findings, Key, delete_unread, key};
use super::fault::{Server, Setback};
use super::fleet::Fleet;
use super::ledger::{Acknowledged, How, Ledger};
use super::load::Load;
use super::losses::Losses;
use crate::eventually;

/// For the product to notice, and to say so.
const NOTICE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(30);

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

    async fn delete_offsets(&self, lasts: Duration) {
        self.stop_projectors().await;
        let environment = self.environment();
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &environment["KAFKA_BOOTSTRAP_SERVERS"])
            .create()
            .expect("an admin client");
        let group = environment["KAFKA_GROUP_ID"].as_str();
        eventually("the group is deleted", NOTICE, async || {
            let deleted = admin.delete_groups(&[group], &AdminOptions::new()).await;
            let deleted = deleted.map_err(|error| error.to_string())?;
            deleted.into_iter().try_for_each(|it| it.map(drop).map_err(|it| format!("{it:?}")))
        })
        .await;
        tokio::time::sleep(lasts).await;
        self.start_projectors().await;
    }

    async fn delete_records(
        &self,
        after: Duration,
        aftermath: &mut Aftermath,
    ) -> (String, Option<String>) {
        // What they have applied, they have committed, when they stop by themselves.
        self.stop_projectors().await;
        tokio::time::sleep(after).await;
        let deleted = delete_unread(self.environment()).await;
        self.start_projectors().await;
        let unread: usize = deleted.unread.values().sum();
        let lost = format!("{unread} records of {} partitions", deleted.unread.len());
        let places = deleted.unread.keys();
        let reported = noticed(async || {
            let named = self.losses_named().await;
            let all = places.clone().all(|place| named.contains(place));
            all.then(|| format!("{} losses, by topic and partition", named.len()))
        });
        let reported = reported.await;
        aftermath.losses.delete(deleted.records);
        aftermath.helps("replay", self.outboxctl(&["replay"]).await);
        aftermath.losses.replay();
        (lost, reported)
    }

    /// Topics and partitions of which the product says that records were lost unread.
    async fn losses_named(&self) -> Vec<(String, i32)> {
        let watermarks = self.watermarks(doc! { "lost": { "$exists": true } }).await;
        let losses = watermarks.iter().filter_map(|it| it.get_array("lost").ok()).flatten();
        let losses = losses.filter_map(|loss| loss.as_document());
        let place = |loss: &Document| {
            let topic = loss.get_str("topic").ok()?.to_owned();
            Some((topic, loss.get_i32("partition").ok()?))
        };
        losses.filter_map(place).collect()
    }

    async fn restore_mongodb(
        &self,
        after: Duration,
        load: Load,
        ledger: &Arc<Ledger>,
        aftermath: &mut Aftermath,
    ) -> (String, Option<String>, Load) {
        let mongodb = Server::Mongodb.name();
        let lines = || Ledger::read(ledger.path()).len();
        let paused = load.pause().await;
        let (owned, copied) = (paused.owned(), lines());
        self.servers.copy_data(mongodb).await;
        let load = paused.resume();
        tokio::time::sleep(after).await;
        let mut paused = load.pause().await;
        let restored = lines();
        self.servers.put_back(mongodb).await;
        self.wait_until_ready().await;

        // Exactly the writes since the copy are gone.
        aftermath.losses.roll_back(copied..restored);
        let lines = Ledger::read(ledger.path());
        let kept = aftermath.losses.kept(&lines);
        aftermath.findings.add(check::check_writes(&kept, self.environment()).await);
        let reported = noticed(async || {
            let said = self.watermarks(doc! { "_id": "rewound" }).await;
            Some(said.first()?.get_str("reason").unwrap_or("it went back").to_owned())
        });
        let reported = reported.await;
        self.wait_until_nothing_lags().await;
        aftermath.helps("replay", self.outboxctl(&["replay"]).await);
        let repair = ["verify", "--repair", "--wait", "60"];
        aftermath.helps("verify --repair", self.outboxctl(&repair).await);
        aftermath.losses.replay();

        let versions = check::versions(self.environment()).await;
        for write in stand(&kept, &versions) {
            ledger.append(&write);
        }
        let version = |id: &str| {
            versions.iter().find(|((_, known), _)| known == id).map(|(_, version)| *version)
        };
        paused.roll_back(owned, version);
        let lost = format!("{} acknowledged writes", restored - copied);
        (lost, reported, paused.resume())
    }

    /// What the topics still hold of lost writes would bring their rows back.
    async fn wait_until_nothing_lags(&self) {
        eventually("the projectors have no lag", NOTICE, async || {
            let mut lag = 0.0;
            for projector in &self.projectors {
                lag += projector.lock().await.metrics().await.sum("projector_consumer_lag");
            }
            if lag == 0.0 { Ok(()) } else { Err(lag.to_string()) }
        })
        .await;
    }

    async fn watermarks(&self, filter: Document) -> Vec<Document> {
        let environment = self.environment();
        let Ok(client) = mongodb::Client::with_uri_str(&environment["MONGODB_URL"]).await else {
            return Vec::new();
        };
        let database = client.database(&environment["DATABASE_NAME"]);
        let found = database.collection::<Document>("watermarks").find(filter).await;
        let Ok(found) = found else { return Vec::new() };
        found.try_collect().await.unwrap_or_default()
    }

    async fn stop_projectors(&self) {
        for projector in &self.projectors {
            projector.lock().await.stop(GRACE).await;
        }
    }

    async fn start_projectors(&self) {
        for projector in &self.projectors {
            projector.lock().await.restart();
        }
        self.wait_until_ready().await;
    }
}

/// Where each entity stands now, as a line of the ledger: what its last write set still
/// holds, at the version that the document has.
fn stand(kept: &[&Acknowledged], versions: &BTreeMap<Key, i64>) -> Vec<Acknowledged> {
    let mut last = BTreeMap::new();
    for &write in kept {
        let known = last.entry(key(write)).or_insert(write);
        if write.version >= known.version {
            *known = write;
        }
    }
    let moved = last.into_iter().filter_map(|(key, write)| {
        let version = *versions.get(&key)?;
        (version > write.version).then(|| Acknowledged {
            version,
            event_id: None,
            how: How::Restored,
            ..write.clone()
        })
    });
    moved.collect()
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

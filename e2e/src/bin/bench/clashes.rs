//! Writes of which a fifth cannot succeed: what group commit is worth when groups fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{ApiAlone, Servers, sample};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Settings;
use crate::figures::{Figures, Latencies};
use crate::http::{Connection, post};

const PAIRS: usize = 32;

/// Two api processes on one database get pairs of requests at the same moment. Two of
/// five share an Idempotency-Key with their twin, so that one of the two, a fifth of all
/// writes, meets the other's key only inside its transaction: no look before the
/// commit and no queue of one process can see it coming.
pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    for (mode, limit) in [("grouped", "64"), ("one each", "1")] {
        let name = format!("POST /posts x{}, a fifth repeated, {mode}", 2 * PAIRS);
        if !settings.wants(&name) {
            continue;
        }
        let switches = [("API_GROUP_COMMIT_MAX", limit), ("RUST_LOG", "warn")];
        let first = ApiAlone::start(servers, &switches).await;
        let second = first.beside(servers, &switches).await;
        let user = first.client().create("/users", "", &sample::user("clash@example.com")).await;
        let user = user["id"].as_str().expect("an id").to_owned();
        let time = Duration::from_secs(settings.seconds);
        let addresses = [first.address(), second.address()];
        let latencies = drive(&addresses, &user, time).await;
        let rate = latencies.count() as f64 / time.as_secs_f64();
        figures.add(&name, "/s", None, rate);
        figures.add(&format!("{name}: p99"), "ms", None, latencies.percentile(99));
    }
}

async fn drive(addresses: &[String; 2], user: &str, time: Duration) -> Latencies {
    let until = Instant::now() + time;
    let mut senders = JoinSet::new();
    for pair in 0..PAIRS {
        let together = Arc::new(Barrier::new(2));
        for (side, address) in addresses.iter().enumerate() {
            let twin = Twin { pair, side, together: together.clone(), until };
            senders.spawn(twin.send(address.clone(), user.to_owned()));
        }
    }
    Latencies::new(senders.join_all().await.into_iter().flatten().collect())
}

/// One of two senders of the same requests.
struct Twin {
    pair: usize,
    side: usize,
    together: Arc<Barrier>,
    until: Instant,
}

impl Twin {
    async fn send(self, address: String, user: String) -> Vec<Duration> {
        let mut connection = Connection::open(&address).await;
        let body = sample::post("bench").to_string();
        let mut latencies = Vec::new();
        for turn in 0_u64.. {
            let (pair, side) = (self.pair, self.side);
            let shared = turn % 5 < 2;
            if shared {
                let deadline = self.until.into();
                // The twin may have ended.
                let _ = tokio::time::timeout_at(deadline, self.together.wait()).await;
            }
            if Instant::now() >= self.until {
                break;
            }
            let owner = if shared { 2 } else { side };
            let key = format!("{pair}-{owner}-{turn}");
            latencies.push(connection.exchange(&post("/posts", &user, Some(&key), &body)).await);
        }
        latencies
    }
}

//! Mixed writes over all five domains, by careful clients, and one that measures how
//! long a write takes to its row.

mod caller;
mod client;
mod intent;
mod lives;
mod probe;
mod shop;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use tokio::task::JoinHandle;

use self::caller::Caller;
pub use self::caller::Tally;
use self::client::Client;
use self::probe::Prober;
pub use self::probe::Probes;
use self::shop::Belongings;
use super::ledger::Ledger;

/// How many clients write, and how long each of them rests between two writes.
#[derive(Debug, Clone)]
pub struct Pace {
    pub clients: u64,
    pub rest_millis: Range<u64>,
}

impl Pace {
    /// The servers, not the clients, decide what breaks.
    pub fn without_pause(clients: u64) -> Self {
        Self { clients, rest_millis: 5..45 }
    }
}

/// Clients at work until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Client>>,
    prober: JoinHandle<Prober>,
    counts: Counts,
}

/// The same clients between two writes: each knows what became of all that it asked for.
pub struct Paused {
    clients: Vec<Client>,
    prober: Prober,
    counts: Counts,
}

/// What all clients own at one moment.
pub struct Owned {
    clients: Vec<Belongings>,
    prober: Prober,
}

#[derive(Clone, Default)]
struct Counts {
    probes: Probes,
    tally: Arc<Mutex<Tally>>,
}

/// What was written, all in all.
pub struct Written {
    pub tally: Tally,
    pub probes: Probes,
}

impl Load {
    /// `seed` decides what each client wants in its turn; how fast they get it decides
    /// how far they come.
    pub fn start(
        seed: u64,
        pace: &Pace,
        urls: &[String],
        ledger: &Arc<Ledger>,
        rows: crate::Rows,
    ) -> Self {
        let counts = Counts::default();
        let caller = |number: u64| Caller::new(urls, number as usize, counts.tally.clone());
        let clients = (0..pace.clients)
            .map(|number| Client::new(number, seed, caller(number), &pace.rest_millis, ledger))
            .collect();
        let prober = Prober::new(caller(0), rows, ledger.clone(), counts.probes.clone());
        Paused { clients, prober, counts }.resume()
    }

    pub fn probes(&self) -> &Probes {
        &self.counts.probes
    }

    /// Returns when each client knows what became of its last write.
    pub async fn pause(self) -> Paused {
        self.stop.store(true, Ordering::Relaxed);
        let clients = join_all(self.clients).await;
        Paused {
            clients: clients.into_iter().map(|it| it.expect("a client ends by itself")).collect(),
            prober: self.prober.await.expect("the probe ends by itself"),
            counts: self.counts,
        }
    }

    /// As [`Self::pause`], for good.
    pub async fn finish(self) -> Written {
        let counts = self.pause().await.counts;
        let tally = counts.tally.lock().expect("nobody panics while counting").clone();
        Written { tally, probes: counts.probes }
    }
}

impl Paused {
    pub fn resume(self) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = self.clients.into_iter();
        Load {
            clients: clients.map(|client| tokio::spawn(client.write(stop.clone()))).collect(),
            prober: tokio::spawn(self.prober.watch(stop.clone())),
            counts: self.counts,
            stop,
        }
    }

    pub fn owned(&self) -> Owned {
        let clients = self.clients.iter().map(Client::belongings).collect();
        Owned { clients, prober: self.prober.clone() }
    }

    /// The clients own again what they owned then. `version` says at which version a
    /// document is now: to be written again can have moved it.
    pub fn roll_back(&mut self, owned: Owned, version: impl Fn(&str) -> Option<i64>) {
        for (client, then) in self.clients.iter_mut().zip(owned.clients) {
            client.own(then, &version);
        }
        self.prober = owned.prober;
        self.prober.move_to(&version);
    }
}

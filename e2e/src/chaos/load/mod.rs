//! Mixed writes over all five domains, by careful clients, and one that measures how
//! long a write takes to its row.

mod caller;
mod intent;
mod lives;
mod probe;
mod shop;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use self::caller::Caller;
pub use self::caller::Tally;
pub use self::probe::Probes;
use self::shop::Shop;
use super::ledger::Ledger;

/// Clients at work until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    probe: JoinHandle<()>,
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
        clients: u64,
        urls: &[String],
        ledger: &Arc<Ledger>,
        rows: crate::Rows,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let caller = |number: u64| Caller::new(urls, number as usize, tally.clone());
        let writers = (0..clients).map(|number| {
            let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
            let shop = Shop::new(format!("client{number}"));
            tokio::spawn(write(caller(number), shop, rng, ledger.clone(), stop.clone()))
        });
        let writers = writers.collect();
        let probes = Probes::default();
        let watch = probe::watch(caller(0), rows, ledger.clone(), stop.clone(), probes.clone());
        Self { stop, writers, probe: tokio::spawn(watch), probes, tally }
    }

    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Returns when each client knows what became of its last write.
    pub async fn finish(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.expect("a client ends by itself");
        }
        self.probe.await.expect("the probe ends by itself");
        let tally = self.tally.lock().expect("nobody panics while counting").clone();
        Written { tally, probes: self.probes }
    }
}

/// One after another, with a breath in between: the servers, not the clients, shall
/// decide what breaks.
async fn write(
    mut caller: Caller,
    mut shop: Shop,
    mut rng: StdRng,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let wish = shop.wish(&mut rng);
        if let Some(done) = caller.insist(&wish, &mut rng).await {
            for write in shop.note(&wish, &done) {
                ledger.append(&write);
            }
        } else {
            // What is wrong is in the tally: nothing can be expected of the rest.
            return;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..45))).await;
    }
}

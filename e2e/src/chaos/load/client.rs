use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::caller::Caller;
use super::shop::{Belongings, Shop};
use crate::chaos::ledger::Ledger;

/// One that asks one thing after another.
pub struct Client {
    caller: Caller,
    shop: Shop,
    rng: StdRng,
    rest_millis: Range<u64>,
    ledger: Arc<Ledger>,
}

impl Client {
    pub fn new(
        number: u64,
        seed: u64,
        caller: Caller,
        rest_millis: &Range<u64>,
        ledger: &Arc<Ledger>,
    ) -> Self {
        Self {
            caller,
            shop: Shop::new(format!("client{number}")),
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number)),
            rest_millis: rest_millis.clone(),
            ledger: ledger.clone(),
        }
    }

    /// One write after another, with a rest in between.
    pub async fn write(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let wish = self.shop.wish(&mut self.rng);
            // What is wrong is in the tally: nothing can be expected of the rest.
            let Some(done) = self.caller.insist(&wish, &mut self.rng).await else { break };
            for write in self.shop.note(&wish, &done) {
                self.ledger.append(&write);
            }
            let rest = self.rng.random_range(self.rest_millis.clone());
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
        self
    }

    pub fn belongings(&self) -> Belongings {
        self.shop.belongings()
    }

    pub fn own(&mut self, belongings: Belongings, version: impl Fn(&str) -> Option<i64>) {
        self.shop.own(belongings, version);
    }
}

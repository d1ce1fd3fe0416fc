//! One write after another, each followed into MySQL: when did the pipeline work?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::json;
use shared::event::Domain;

use super::caller::Caller;
use super::intent::{Aim, Intent};
use crate::chaos::ledger::Ledger;
use crate::{Rows, sample};

/// A write from its first attempt to its row.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    pub began: Instant,
    pub arrived: Instant,
}

/// Those that arrived so far, in the order of time.
#[derive(Clone, Default)]
pub struct Probes(Arc<Mutex<Vec<Probe>>>);

impl Probes {
    fn push(&self, probe: Probe) {
        self.lock().push(probe);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Probe>> {
        self.0.lock().expect("nobody panics while adding")
    }

    /// Waits for a write that began after `moment` to arrive. Whether one did in time.
    pub async fn wait(&self, moment: Instant, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.recovery(moment).is_none() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.recovery(moment).is_some()
    }

    /// From `moment` until a write that began after it had its row.
    pub fn recovery(&self, moment: Instant) -> Option<Duration> {
        let probes = self.lock();
        let first = probes.iter().find(|probe| probe.began >= moment)?;
        Some(first.arrived - moment)
    }

    pub fn median(&self) -> Option<Duration> {
        let mut took: Vec<_> =
            self.lock().iter().map(|probe| probe.arrived - probe.began).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied()
    }
}

const LOOK: Duration = Duration::from_millis(20);
const BETWEEN: Duration = Duration::from_millis(100);
/// For a row to come once it was written; then the next write is tried.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Prober {
    caller: Caller,
    rows: Rows,
    ledger: Arc<Ledger>,
    probes: Probes,
    rng: StdRng,
    next: Intent,
}

impl Prober {
    pub fn new(caller: Caller, rows: Rows, ledger: Arc<Ledger>, probes: Probes) -> Self {
        let next = Intent {
            domain: Domain::User,
            aim: Aim::Create { key: "probe".to_owned() },
            method: Method::POST,
            path: "/users".to_owned(),
            caller: String::new(),
            body: sample::user("probe@example.com"),
            sets: BTreeMap::new(),
        };
        Self { caller, rows, ledger, probes, rng: StdRng::seed_from_u64(0), next }
    }

    pub async fn watch(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let Some(done) = self.caller.insist(&self.next, &mut self.rng).await else { break };
            let write = self.next.acknowledged(&done);
            self.ledger.append(&write);
            self.next = self.change(write.id.clone(), write.version);
            if arrives(&self.rows, &write.id, write.version).await {
                self.probes.push(Probe { began, arrived: Instant::now() });
            }
            tokio::time::sleep(BETWEEN).await;
        }
        self
    }

    fn change(&self, id: String, version: i64) -> Intent {
        let bio = format!("probe {version}");
        Intent {
            path: format!("/users/{id}"),
            aim: Aim::Change { id, version },
            method: Method::PATCH,
            body: json!({ "bio": bio }),
            sets: BTreeMap::from([("profile.bio".to_owned(), bio)]),
            ..self.next.clone()
        }
    }

    /// Its user is at another version now.
    pub fn move_to(&mut self, version: impl Fn(&str) -> Option<i64>) {
        if let Aim::Change { id, .. } = &self.next.aim
            && let Some(version) = version(id)
        {
            self.next = self.change(id.clone(), version);
        }
    }
}

async fn arrives(rows: &Rows, id: &str, version: i64) -> bool {
    let sql = format!("SELECT version FROM users WHERE user_id = '{id}' AND version >= {version}");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        // A server that is frozen or away answers nothing or an error.
        let look = tokio::time::timeout(Duration::from_secs(1), rows.query(&sql)).await;
        if look.is_ok_and(|found| found.is_ok_and(|rows| !rows.is_empty())) {
            return true;
        }
        tokio::time::sleep(LOOK).await;
    }
    false
}

//! Notices that MongoDB went back in time: that it was put back to an earlier state, or
//! failed over to one, while Kafka lived on.
//!
//! The lease counts its renewals in MongoDB, and each checkpoint in Kafka carries the newest
//! count that a majority held. A relay counts only once a checkpoint of its own session is
//! in Kafka, so that the count cannot catch up before anybody has compared. A MongoDB that
//! counts less than the checkpoint lacks what was written since.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bson::doc;
use mongodb::error::Error;
use mongodb::options::{ReadConcern, WriteConcern};
use shared::Timestamp;
use shared::watermark::{REWOUND, field};

use crate::Relay;
use crate::checkpoint::Checkpoint;
use crate::lease;

/// Shared by the session, the keeper of the lease and the metrics. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How many renewals a majority holds; no fewer may be found again.
    durable: Option<u64>,
    /// A checkpoint of this session is in Kafka.
    counts: bool,
    /// How a session found out that MongoDB went back, until another checkpoint is in Kafka.
    noticed: Option<String>,
    /// It is in the log.
    said: bool,
}

impl History {
    fn begin(&self, durable: Option<u64>) {
        let mut state = self.lock();
        (state.durable, state.counts) = (durable, false);
    }

    /// For the next checkpoint.
    pub fn durable(&self) -> Option<u64> {
        self.lock().durable
    }

    /// A majority holds so many.
    pub fn holds(&self, renewals: Option<u64>) {
        let mut state = self.lock();
        state.durable = state.durable.max(renewals);
    }

    /// A checkpoint of this session is in Kafka.
    pub fn checkpointed(&self) {
        let mut state = self.lock();
        (state.counts, state.noticed, state.said) = (true, None, false);
    }

    /// How many renewals there must be at least when one is counted; `None` while none is.
    pub fn floor(&self) -> Option<u64> {
        let state = self.lock();
        state.counts.then(|| state.durable.unwrap_or(0))
    }

    /// What the keeper of the lease saw ends its session.
    pub fn notice(&self, how: String) {
        self.lock().noticed = Some(how);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a session that begins: how it shows that MongoDB went back behind the checkpoint.
///
/// # Errors
/// Where MongoDB is away, or has no majority.
pub async fn compare(relay: &Relay, newest: Option<&Checkpoint>) -> Result<Option<String>, Error> {
    let found = lease::renewals(relay, ReadConcern::majority()).await?;
    relay.history.begin(found);
    let noticed = relay.history.lock().noticed.clone();
    let known = newest.and_then(|checkpoint| checkpoint.renewals);
    if noticed.is_some() || found >= known {
        return Ok(noticed);
    }
    // A server that has just become primary may know an old state of the majority only. It
    // knows better when it has proved that it is the primary.
    let found = lease::renewals(relay, ReadConcern::linearizable()).await?;
    relay.history.begin(found);
    let (found, known) = (found.unwrap_or(0), known.unwrap_or(0));
    Ok((found < known).then(|| fewer(found, known)))
}

/// For people.
pub fn fewer(found: u64, known: u64) -> String {
    format!("MongoDB counts {found} renewals of the lease, and it counted {known} before")
}

/// Says it in the log and in MongoDB, where it stays until the documents are repaired.
///
/// # Errors
/// Where MongoDB is away.
pub async fn record(relay: &Relay, how: &str) -> Result<(), Error> {
    if !std::mem::replace(&mut relay.history.lock().said, true) {
        tracing::error!(
            how,
            "MongoDB went back in time: readers have seen newer versions than it holds and drop what is written now; run `outboxctl verify --repair`"
        );
    }
    let noticed = doc! { "$set": { field::NOTICED_AT: Timestamp::now(), field::REASON: how } };
    let marking = relay.source.watermarks.update_one(doc! { field::SHARD: REWOUND }, noticed);
    marking.upsert(true).write_concern(WriteConcern::majority()).await.map(|_| ())
}

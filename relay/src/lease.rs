//! Who leads: a document in MongoDB that one relay holds for a moment and renews.
//!
//! It only keeps two relays from getting in each other's way. Correctness does not rest
//! on it: whoever claims the shard in Kafka fences the other, so a leader that slept
//! through its lease can commit nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::error::Error;
use mongodb::options::{ReadConcern, ReadPreference, ReturnDocument, SelectionCriteria};
use shared::process::RetryPolicy;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Relay;
use crate::history::fewer;
use crate::session::Ended;
use crate::source::{is_duplicate, plain};

/// By MongoDB's clock alone. A standby takes over this long after the leader's last
/// sign of life, plus [`POLL`], plus the time to begin a session.
const TERM: Duration = Duration::from_millis(2_500);
const RENEW: Duration = Duration::from_millis(800);
const POLL: Duration = Duration::from_millis(400);
/// For a look at the document.
const PATIENCE: Duration = Duration::from_secs(5);

const RENEWALS: &str = "renewals";

/// This relay, as the others know it.
#[derive(Debug, Clone)]
pub struct Holder(String);

impl Holder {
    /// Host and port: no two processes that live at the same time share them, and one
    /// that crashed and was started again need not wait for its own lease to run out.
    pub fn at(address: SocketAddr) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        // Without either of them the process is known by nothing but itself.
        if host.is_empty() || address.port() == 0 {
            return Self(Uuid::now_v7().to_string());
        }
        Self(format!("{host} {address}"))
    }
}

/// Waits until this relay leads. Another one that does costs one line in the log.
///
/// # Errors
/// Only [`Ended::Stopped`].
pub async fn acquire(relay: &Relay) -> Result<(), Ended> {
    let mut waits = RetryPolicy::default().waits();
    let mut standing_by = false;
    loop {
        let wait = match attempt(relay, None).await {
            Ok(Some(_)) => {
                relay.mongodb.up();
                relay.metrics.leader.set(1);
                return Ok(());
            }
            Ok(None) => {
                relay.mongodb.up();
                if !std::mem::replace(&mut standing_by, true) {
                    tracing::info!("another relay leads: standing by");
                    // What was proven here is overtaken by what the leader proves.
                    relay.metrics.lag.forget();
                }
                waits = RetryPolicy::default().waits();
                POLL
            }
            Err(error) => {
                relay.mongodb.down(plain(&error));
                waits.next().unwrap_or(POLL)
            }
        };
        tokio::select! {
            () = relay.shutdown.cancelled() => return Err(Ended::Stopped),
            () = sleep(wait) => {}
        }
    }
}

/// Renews the lease until it is lost, and counts the renewals: see `history.rs`.
pub async fn keep(relay: &Relay) -> Ended {
    let mut renewed = Instant::now();
    loop {
        sleep(RENEW).await;
        let asked = Instant::now();
        let floor = relay.history.floor();
        match timeout(TERM, attempt(relay, floor)).await {
            Ok(Ok(Some(lease))) => {
                renewed = asked;
                if let Some(known) = floor.filter(|known| lease.renewals() < *known) {
                    relay.history.notice(fewer(lease.renewals(), known));
                    return Ended::Rewound;
                }
            }
            Ok(Ok(None)) => return Ended::Deposed,
            // The reader of the change stream says what MongoDB's state is.
            Ok(Err(_)) | Err(_) if renewed.elapsed() < TERM => {}
            Ok(Err(_)) | Err(_) => return Ended::Expired,
        }
        // It waits for no majority: it asks what one holds by now.
        if floor.is_some()
            && let Ok(Ok(held)) = timeout(RENEW, renewals(relay, ReadConcern::majority())).await
        {
            relay.history.holds(held);
        }
    }
}

/// How many renewals were counted; `None` before the first.
///
/// # Errors
/// Where MongoDB is away, or cannot answer with that read concern.
pub async fn renewals(relay: &Relay, concern: ReadConcern) -> Result<Option<u64>, Error> {
    let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
    let finding = relay.source.leases.find_one(doc! { "_id": key(relay) }).max_time(PATIENCE);
    let lease = finding.read_concern(concern).selection_criteria(primary).await?;
    Ok(lease.and_then(|lease| Lease(lease).counted()))
}

/// Whether another relay holds the lease now.
///
/// # Errors
/// Where MongoDB is away.
pub async fn is_held_elsewhere(relay: &Relay) -> Result<bool, Error> {
    let theirs = doc! {
        "_id": key(relay),
        "holder": { "$exists": true, "$ne": &relay.holder.0 },
        "$expr": { "$gt": ["$expires_at", "$$NOW"] },
    };
    Ok(relay.source.leases.find_one(theirs).max_time(PATIENCE).await?.is_some())
}

/// Lets a standby take over at once.
pub async fn release(relay: &Relay) {
    relay.metrics.leader.set(0);
    let mine = doc! { "_id": key(relay), "holder": &relay.holder.0 };
    // The document stays, with its count.
    let vacate = doc! { "$unset": { "holder": "", "expires_at": "" } };
    // If it fails the lease runs out by itself.
    let releasing = relay.source.leases.update_one(mine, vacate);
    let released = timeout(Duration::from_secs(1), releasing).await;
    tracing::debug!(?released, "lease given up");
}

/// The document.
struct Lease(Document);

impl Lease {
    fn is_held_by(&self, holder: &Holder) -> bool {
        self.0.get_str("holder").is_ok_and(|found| found == holder.0)
    }

    fn counted(&self) -> Option<u64> {
        self.0.get_i64(RENEWALS).ok().and_then(|count| u64::try_from(count).ok())
    }

    fn renewals(&self) -> u64 {
        self.counted().unwrap_or(0)
    }
}

/// Takes or renews the lease; `None` where another relay holds it. With a `floor` it counts
/// that, unless fewer were counted before.
async fn attempt(relay: &Relay, floor: Option<u64>) -> Result<Option<Lease>, Error> {
    let term = i64::try_from(TERM.as_millis()).unwrap_or(i64::MAX);
    let me = &relay.holder.0;
    let expired = doc! { "$lt": [{ "$ifNull": ["$expires_at", "$$NOW"] }, "$$NOW"] };
    let vacant = doc! { "$eq": [{ "$type": "$holder" }, "missing"] };
    let mine = doc! { "$or": [{ "$eq": ["$holder", me] }, expired, vacant] };
    let expires_at = doc! { "$add": ["$$NOW", term] };
    let mut renewed = doc! {
        "holder": { "$cond": ["$mine", me, "$holder"] },
        "expires_at": { "$cond": ["$mine", expires_at, "$expires_at"] },
    };
    if let Some(floor) = floor {
        let known = doc! { "$ifNull": ["$renewals", 0_i64] };
        let floor = i64::try_from(floor).unwrap_or(i64::MAX);
        let is_counted = doc! { "$and": ["$mine", { "$gte": [&known, floor] }] };
        let next = doc! { "$add": [known, 1_i64] };
        renewed.insert(RENEWALS, doc! { "$cond": [is_counted, next, "$renewals"] });
    }
    let take = vec![
        doc! { "$set": { "mine": mine } },
        doc! { "$set": renewed },
        doc! { "$unset": "mine" },
    ];
    let leases = &relay.source.leases;
    let taking = leases.find_one_and_update(doc! { "_id": key(relay) }, take);
    match taking.upsert(true).return_document(ReturnDocument::After).await {
        Ok(lease) => Ok(lease.map(Lease).filter(|lease| lease.is_held_by(&relay.holder))),
        // Two made the document at the same time, and the other was first.
        Err(error) if is_duplicate(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn key(relay: &Relay) -> String {
    format!("outbox-relay-{}", relay.shard.index())
}

//! Who leads: a document in MongoDB that one relay holds for a moment and renews.
//!
//! It only keeps two relays from getting in each other's way. Correctness does not rest
//! on it: whoever claims the shard in Kafka fences the other, so a leader that slept
//! through its lease can commit nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::error::Error;
use mongodb::options::ReturnDocument;
use shared::process::RetryPolicy;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::Relay;
use crate::session::Ended;
use crate::source::{is_duplicate, plain};

/// By MongoDB's clock alone. A standby takes over this long after the leader's last
/// sign of life, plus [`POLL`], plus the time to begin a session.
const TERM: Duration = Duration::from_millis(2_500);
const RENEW: Duration = Duration::from_millis(800);
const POLL: Duration = Duration::from_millis(400);

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
        let wait = match attempt(relay).await {
            Ok(true) => {
                relay.mongodb.up();
                relay.metrics.leader.set(1);
                return Ok(());
            }
            Ok(false) => {
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

/// Renews the lease until it is lost.
pub async fn keep(relay: &Relay) -> Ended {
    let mut renewed = Instant::now();
    loop {
        sleep(RENEW).await;
        let asked = Instant::now();
        match timeout(TERM, attempt(relay)).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => return Ended::Deposed,
            // The reader of the change stream says what MongoDB's state is.
            Ok(Err(_)) | Err(_) if renewed.elapsed() < TERM => {}
            Ok(Err(_)) | Err(_) => return Ended::Expired,
        }
    }
}

/// Lets a standby take over at once.
pub async fn release(relay: &Relay) {
    relay.metrics.leader.set(0);
    let mine = doc! { "_id": key(relay), "holder": &relay.holder.0 };
    // If it fails the lease runs out by itself.
    let released = timeout(Duration::from_secs(1), relay.source.leases.delete_one(mine)).await;
    tracing::debug!(?released, "lease given up");
}

/// Takes or renews the lease; false where another relay holds it.
async fn attempt(relay: &Relay) -> Result<bool, Error> {
    let term = i64::try_from(TERM.as_millis()).unwrap_or(i64::MAX);
    let me = &relay.holder.0;
    let expired = doc! { "$lt": [{ "$ifNull": ["$expires_at", "$$NOW"] }, "$$NOW"] };
    let vacant = doc! { "$eq": [{ "$type": "$holder" }, "missing"] };
    let mine = doc! { "$or": [{ "$eq": ["$holder", me] }, expired, vacant] };
    let expires_at = doc! { "$add": ["$$NOW", term] };
    let take = vec![
        doc! { "$set": { "mine": mine } },
        doc! { "$set": {
            "holder": { "$cond": ["$mine", me, "$holder"] },
            "expires_at": { "$cond": ["$mine", expires_at, "$expires_at"] },
        } },
        doc! { "$unset": "mine" },
    ];
    let leases = &relay.source.leases;
    let taking = leases.find_one_and_update(doc! { "_id": key(relay) }, take);
    match taking.upsert(true).return_document(ReturnDocument::After).await {
        Ok(lease) => Ok(lease.is_some_and(|lease| is_held_by(&lease, &relay.holder))),
        // Two made the document at the same time, and the other was first.
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_held_by(lease: &Document, holder: &Holder) -> bool {
    lease.get_str("holder").is_ok_and(|found| found == holder.0)
}

fn key(relay: &Relay) -> String {
    format!("outbox-relay-{}", relay.shard.index())
}

//! Says in the watermark's document what keeps this shard's events from Kafka's readers,
//! while something does: the status page sees MongoDB only.
//!
//! A relay that cannot reach Kafka does not get as far as the lease, so it speaks for its
//! shard unless another relay leads.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bson::doc;
use mongodb::error::Error;
use shared::Timestamp;
use shared::process::DependencyState;
use shared::watermark::{NOTHING, Obstacle, field};
use tokio::time::{Instant, sleep};

use crate::Relay;
use crate::lease;
use crate::source::plain;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// While the obstacle stands, the document says that the relay lives this often.
const BEAT: Duration = Duration::from_secs(5);

/// What stands in the way now; it is part of each watermark.
#[derive(Debug, Default)]
pub struct InTheWay(Mutex<Option<Obstacle>>);

impl InTheWay {
    pub fn get(&self) -> Option<Obstacle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, obstacle: Option<Obstacle>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }
}

/// Looks until the process stops.
pub async fn run(relay: &Relay) {
    let mut said: Option<Instant> = None;
    loop {
        let obstacle = look(relay);
        relay.in_the_way.set(obstacle.clone());
        let is_due = match &obstacle {
            Some(_) => said.is_none_or(|said| said.elapsed() >= BEAT),
            None => said.is_some(),
        };
        if is_due {
            match say(relay, obstacle.as_ref()).await {
                Ok(()) => said = obstacle.map(|_| Instant::now()),
                // Whether MongoDB is there is said by the reader of the change stream.
                Err(error) => tracing::debug!(error = plain(&error), "obstacle not written"),
            }
        }
        sleep(EVERY).await;
    }
}

fn look(relay: &Relay) -> Option<Obstacle> {
    // The clients' own word for it.
    let reason = match relay.health.dependencies().remove(relay.kafka.name()) {
        Some(DependencyState::Down { reason }) => Some(reason),
        _ => relay.held_back.reason(),
    };
    let before = relay.in_the_way.get();
    reason.map(|reason| Obstacle {
        server: relay.kafka.name().to_owned(),
        reason,
        since: before.map_or_else(Timestamp::now, |before| before.since),
    })
}

/// Whether it is this relay that reports on its shard: it leads, or no relay does.
///
/// # Errors
/// Where MongoDB is away.
pub async fn speaks(relay: &Relay) -> Result<bool, Error> {
    Ok(relay.metrics.leader.get() == 1 || !lease::is_held_elsewhere(relay).await?)
}

/// What the document says of publishing stays as it is.
async fn say(relay: &Relay, obstacle: Option<&Obstacle>) -> Result<(), Error> {
    if !speaks(relay).await? {
        return Ok(());
    }
    let mut set = doc! { field::AT: Timestamp::now() };
    let mut update = doc! {
        "$setOnInsert": { field::PUBLISHED_THROUGH: NOTHING, "partitions": [] },
    };
    match obstacle {
        Some(Obstacle { server, reason, since }) => {
            let obstacle = doc! { "server": server, "reason": reason, "since": since };
            set.insert(field::OBSTACLE, obstacle);
        }
        None => {
            update.insert("$unset", doc! { field::OBSTACLE: "" });
        }
    }
    update.insert("$set", set);
    let shard = doc! { field::SHARD: relay.shard.to_string() };
    relay.source.watermarks.update_one(shard, update).upsert(true).await.map(|_| ())
}

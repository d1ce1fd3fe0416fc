//! When the place in the change stream is lost: a fresh stream is opened *first*, then
//! the outbox itself is swept, leaving out what the topics already hold.
//!
//! Until the fresh stream has passed the end of the sweep, every checkpoint says
//! "recovering". A relay killed in between starts the sweep again, and what it had
//! sent is then read back from the topics: nothing is lost, nothing doubled.

use std::time::Instant;

use bson::{RawDocumentBuf, doc};
use futures::TryStreamExt;
use shared::Timestamp;
use shared::outbox::field;
use uuid::Uuid;

use crate::Relay;
use crate::batch::{Batch, Event};
use crate::position::{ClusterTime, Position};
use crate::published::EventIds;
use crate::read_back;
use crate::session::Ended;
use crate::stage::Stage;
use crate::tail::Tail;

/// What the fresh stream will bring again: events that were committed after it was
/// opened and before the sweep came by.
pub struct CatchUp {
    swept: EventIds,
    /// No event committed later than this was swept.
    until: ClusterTime,
}

/// Publishes what the outbox holds and the topics lack, in the order of each entity's
/// versions. Returns where to go on, and what to leave out there.
///
/// # Errors
/// [`Ended`]: to be started again from the beginning.
pub async fn sweep(
    relay: &Relay,
    stage: &mut Stage<'_>,
    reason: &str,
) -> Result<(Position, CatchUp), Ended> {
    let begun = Instant::now();
    let opened_at = Timestamp::now();
    let from = Tail::open(relay, None).await?.beginning().await?;
    let held = read_back::event_ids(relay, oldest(relay).await?).await?;
    announce(relay, reason, &held);
    stage.set_recovering(Some(reason.to_owned()));
    relay.metrics.lag.set_retained(0);
    let sent = send_missing(relay, stage, &held).await?;
    let until = relay.source.cluster_time().await?;
    relay.metrics.lag.prove(opened_at);
    tracing::info!(
        reason,
        sent = sent.len(),
        left_out = held.len(),
        seconds = begun.elapsed().as_secs(),
        "outbox swept; catching up with what was written meanwhile"
    );
    let swept = EventIds::collect(sent);
    Ok((from, CatchUp { swept, until }))
}

fn announce(relay: &Relay, reason: &str, held: &EventIds) {
    let first_start = reason == NO_CHECKPOINT && held.len() == 0;
    if first_start {
        tracing::info!("first start: publishing what the outbox holds");
    } else {
        relay.metrics.token_lost.with_label_values(&[reason]).inc();
        tracing::error!(
            reason,
            held_by_topics = held.len(),
            "the place in the change stream is lost: sweeping the outbox"
        );
    }
}

/// The reason of a relay that finds no checkpoint at all.
pub const NO_CHECKPOINT: &str = "no_checkpoint";

async fn oldest(relay: &Relay) -> Result<Option<Timestamp>, Ended> {
    let find = relay.source.outbox.find_one(doc! {});
    let oldest = find.sort(doc! { field::OCCURRED_AT: 1 }).await?;
    // A broken record without a date sorts first and says nothing.
    let date = |record: &RawDocumentBuf| record.get_datetime(field::OCCURRED_AT).ok();
    Ok(oldest.map(|record| {
        let millis = date(&record).map_or(0, bson::DateTime::timestamp_millis);
        Timestamp::from_millis(millis).unwrap_or(Timestamp::now())
    }))
}

async fn send_missing(
    relay: &Relay,
    stage: &mut Stage<'_>,
    held: &EventIds,
) -> Result<Vec<Uuid>, Ended> {
    let in_order = doc! { field::ENTITY_ID: 1, field::VERSION: 1 };
    let find = relay
        .source
        .outbox
        .find(relay.shard.filter(field::ENTITY_ID))
        .sort(in_order.clone())
        .hint(mongodb::options::Hint::Keys(in_order));
    let mut records = find.batch_size(1000).await?;
    let mut batch = Batch::new(relay.limits());
    let mut sent = Vec::new();
    let mut said = Instant::now();
    loop {
        let record = tokio::select! {
            biased;
            () = relay.shutdown.cancelled() => return Err(Ended::Stopped),
            record = records.try_next() => record?,
        };
        let last = record.is_none();
        if let Some(record) = record {
            let event = Event::Swept(record);
            match event.record().map(|stored| stored.event_id) {
                Ok(id) if held.contains(id) => relay.metrics.lag.retain(1),
                id => {
                    sent.extend(id.ok());
                    batch.push(event);
                }
            }
        }
        if batch.is_full() || last {
            stage.finish().await?;
            stage.start(batch.take())?;
        }
        if said.elapsed().as_secs() >= 5 {
            said = Instant::now();
            tracing::info!(sent = sent.len(), "sweeping the outbox");
        }
        if last {
            stage.finish().await?;
            return Ok(sent);
        }
    }
}

impl CatchUp {
    /// Leaves out of `batch` what the sweep has sent, and ends the recovery once the
    /// stream is past it.
    ///
    /// # Errors
    /// Where a change event lacks its position.
    pub fn pass(
        this: &mut Option<Self>,
        stage: &mut Stage<'_>,
        batch: &mut Batch,
    ) -> Result<(), Ended> {
        let Some(catch_up) = this else {
            return Ok(());
        };
        let last = match batch.last() {
            Some(Event::Streamed(change)) => Some(change.position()?),
            _ => None,
        };
        let before = batch.len();
        batch.retain(|event| {
            event.record().map_or(true, |stored| !catch_up.swept.contains(stored.event_id))
        });
        tracing::debug!(left_out = before - batch.len(), "already swept");
        if last.is_some_and(|last| last.time > catch_up.until) {
            Self::end(this, stage);
        }
        Ok(())
    }

    /// An empty read reached `position`.
    pub fn reach(this: &mut Option<Self>, stage: &mut Stage<'_>, position: &Position) {
        if this.as_ref().is_some_and(|catch_up| position.time >= catch_up.until) {
            Self::end(this, stage);
        }
    }

    fn end(this: &mut Option<Self>, stage: &mut Stage<'_>) {
        *this = None;
        stage.set_recovering(None);
        tracing::info!("recovered: the change stream has taken over");
    }
}

//! When the place in the change stream is lost: a fresh stream is opened *first*, then
//! the outbox itself is swept as it is at one moment after that, leaving out what the
//! topics already hold. What was committed later is the stream's business.
//!
//! Until the fresh stream has passed that moment, every checkpoint says "recovering". A relay killed in between starts the sweep again, and what it had
//! sent is then read back from the topics: nothing is lost, nothing doubled.

use std::time::Instant;

use bson::{RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};
use shared::Timestamp;
use shared::outbox::field;

use crate::Relay;
use crate::batch::{Batch, Event};
use crate::checkpoint::Checkpoint;
use crate::position::{ClusterTime, Position};
use crate::published::EventIds;
use crate::read_back::{self, Held};
use crate::session::Ended;
use crate::stage::Stage;
use crate::tail::Tail;

/// In one answer of the server, which is held until it is read.
const RECORDS: u32 = 500;

/// What the stream will bring again although it is published: after a sweep the events that
/// were committed no later than the moment that was swept; after a checkpoint those that
/// were published behind it, of which none was committed later than that moment.
pub struct CatchUp {
    until: ClusterTime,
    /// `None`: all of them.
    published: Option<EventIds>,
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
    let Held { ids: held, ends } = read_back::since_moment(relay, oldest(relay).await?).await?;
    stage.book.begin(ends);
    announce(relay, reason, &held);
    stage.set_recovering(Some(reason.to_owned()));
    let until = relay.source.cluster_time().await?;
    let sent = send_missing(relay, stage, &held, until).await?;
    relay.metrics.lag.prove(opened_at);
    tracing::info!(
        reason,
        sent,
        left_out = held.len(),
        seconds = begun.elapsed().as_secs(),
        "outbox swept; catching up with what was written meanwhile"
    );
    Ok((from, CatchUp { until, published: None }))
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

/// When the oldest event in the outbox occurred, in milliseconds since 1970.
async fn oldest(relay: &Relay) -> Result<Option<i64>, Ended> {
    let find = relay.source.outbox.find_one(doc! {});
    let oldest = find.sort(doc! { field::OCCURRED_AT: 1 }).await?;
    // A broken record without a date sorts first and says nothing.
    let date = |record: &RawDocumentBuf| record.get_datetime(field::OCCURRED_AT).ok();
    Ok(oldest.map(|record| date(&record).map_or(0, bson::DateTime::timestamp_millis)))
}

/// How many it sent. It forgets them at once, so that an outbox of any size is swept in
/// the memory of a few batches. Should MongoDB forget the moment meanwhile, what is
/// missing then is swept anew.
async fn send_missing(
    relay: &Relay,
    stage: &mut Stage<'_>,
    held: &EventIds,
    moment: ClusterTime,
) -> Result<u64, Ended> {
    let in_order = doc! { field::ENTITY_ID: 1, field::VERSION: 1 };
    let mut session = relay.source.session_at(moment).await?;
    let find = relay
        .source
        .outbox
        .find(relay.shard.filter(field::ENTITY_ID))
        .sort(in_order.clone())
        .hint(Hint::Keys(in_order))
        .batch_size(RECORDS)
        .read_concern(ReadConcern::snapshot());
    let mut records = find.session(&mut session).await?;
    let mut batch = Batch::new(relay.limits());
    let mut sent = 0;
    let mut said = Instant::now();
    loop {
        let record = tokio::select! {
            biased;
            () = relay.shutdown.cancelled() => return Err(Ended::Stopped),
            record = records.next(&mut session) => record.transpose()?,
        };
        let last = record.is_none();
        if let Some(record) = record {
            let event = Event::Swept(record);
            match event.record().map(|stored| stored.event_id) {
                Ok(id) if held.contains(id) => {}
                _ => {
                    sent += 1;
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
            tracing::info!(sent, "sweeping the outbox");
        }
        if last {
            stage.finish().await?;
            return Ok(sent);
        }
    }
}

impl CatchUp {
    /// Reads back what was published after the checkpoint. Call it only after
    /// `init_transactions`.
    ///
    /// # Errors
    /// [`Ended`]: a server is away.
    pub async fn after(
        relay: &Relay,
        stage: &mut Stage<'_>,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Self>, Ended> {
        let former = checkpoint.ends.clone();
        let Held { ids, ends } = read_back::since_checkpoint(relay, former.clone()).await?;
        stage.book.begin(ends);
        if ids.len() == 0 {
            return Ok(None);
        }
        tracing::info!(events = ids.len(), "published after the checkpoint or beside it");
        stage.book.keep(former.unwrap_or_default());
        // Nothing of it can have been committed later: it was there to be read before.
        let until = relay.source.cluster_time().await?;
        Ok(Some(Self { until, published: Some(ids) }))
    }

    fn is_published(&self, event: &Event) -> bool {
        let Some(ids) = &self.published else {
            return true;
        };
        event.record().is_ok_and(|stored| ids.contains(stored.event_id))
    }

    /// Leaves out of `batch` what the sweep has sent, and ends the recovery once the
    /// stream is past it.
    pub fn pass(this: &mut Option<Self>, stage: &mut Stage<'_>, batch: &mut Batch) {
        let Some(catch_up) = this else {
            return;
        };
        let is_later = |event: &Event| match event {
            Event::Streamed(change) => change.time().is_none_or(|time| time > catch_up.until),
            Event::Swept(_) => true,
        };
        let past = batch.last().is_some_and(is_later);
        let before = batch.len();
        batch.retain(|event| is_later(event) || !catch_up.is_published(event));
        let left_out = before - batch.len();
        tracing::debug!(left_out, "already published");
        if catch_up.published.is_some() {
            stage.count_published_before(left_out as u64);
        }
        if past {
            Self::end(this, stage);
        }
    }

    /// An empty read reached `position`.
    pub fn reach(this: &mut Option<Self>, stage: &mut Stage<'_>, position: &Position) {
        if this.as_ref().is_some_and(|catch_up| position.time >= catch_up.until) {
            Self::end(this, stage);
        }
    }

    fn end(this: &mut Option<Self>, stage: &mut Stage<'_>) {
        let was_swept = this.take().is_some_and(|catch_up| catch_up.published.is_none());
        stage.book.forget();
        if was_swept {
            stage.set_recovering(None);
            tracing::info!("recovered: the change stream has taken over");
        }
    }
}

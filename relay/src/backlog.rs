//! A second opinion on the lag, read from the source: how many records in the outbox were
//! committed after all that is known to be acknowledged, and how old the oldest of them is.
//!
//! A record carries no mark of being published (that would be one more write an event). But
//! it carries MongoDB's clock, and so does the proof: the records behind it are counted, one
//! by one, by an index. After a restart the proof is that of the last watermark.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::options::Hint;
use shared::Timestamp;
use shared::outbox::field;
use shared::watermark::{self, NOTHING, REWOUND, Watermark};
use tokio::time::Instant;

use crate::Relay;
use crate::obstacle::speaks;
use crate::position::ClusterTime;

mod air;
mod counts;

use air::Air;
pub use counts::{Counts, Pending};

/// How often the source is asked.
const EVERY: Duration = Duration::from_secs(2);
/// A count of a long backlog takes its time: then it rests for so many times that.
const REST: u32 = 10;
/// A count that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(30);

/// Measures until the process stops.
pub async fn run(relay: &Relay) {
    let mut air = Air::default();
    loop {
        let begun = Instant::now();
        if let Err(error) = measure(relay, &mut air).await {
            // Whether MongoDB is there is said by the reader of the change stream.
            tracing::debug!(%error, "outbox not counted");
        }
        let took = begun.elapsed();
        let oplog_begin = relay.source.oplog_begin().await;
        relay.metrics.lag.set_oplog_begin(oplog_begin.ok().flatten());
        let rest = EVERY.max(took * REST);
        relay.metrics.counts.rest(rest);
        tokio::time::sleep(rest).await;
    }
}

/// What cannot be measured is left as it was, and is soon too old to be told.
async fn measure(relay: &Relay, air: &mut Air) -> Result<(), Error> {
    let counts = &relay.metrics.counts;
    let rewound = relay.source.watermarks.find_one(doc! { watermark::field::SHARD: REWOUND });
    counts.set_went_back(rewound.await?.is_some());
    let dead = relay.source.dead.count_documents(doc! {}).hint(Hint::Keys(doc! { "_id": 1 }));
    counts.set_dead(dead.max_time(LONGEST).await?);
    if !speaks(relay).await? {
        counts.set_pending(None);
        return Ok(());
    }
    match proof(relay).await? {
        Some(through) => counts.set_pending(Some(pending(relay, through, air).await?)),
        None => counts.set_pending(None),
    }
    Ok(())
}

/// The newest moment up to which everything committed is known to be acknowledged.
async fn proof(relay: &Relay) -> Result<Option<ClusterTime>, Error> {
    let lag = &relay.metrics.lag;
    let stored = relay.source.watermarks.clone_with_type::<RawDocumentBuf>();
    let stored = stored.find_one(doc! { watermark::field::SHARD: relay.shard.to_string() }).await?;
    let stored = stored.and_then(|stored| Watermark::parse(&stored).ok());
    if lag.proven().is_none()
        && let Some(proven) = stored.as_ref().and_then(|stored| stored.proven_at)
    {
        // A fact that this relay, or the one before it, knew when it stopped.
        lag.prove(proven);
    }
    let published = stored.map(|stored| stored.published_through);
    let published = published.filter(|through| *through != NOTHING).map(ClusterTime::from);
    Ok(lag.reached().max(published))
}

/// Events of a release that did not write MongoDB's clock are missed.
async fn pending(relay: &Relay, through: ClusterTime, air: &mut Air) -> Result<Pending, Error> {
    let measured_at = Timestamp::now();
    let mut behind = relay.shard.filter(field::ENTITY_ID);
    behind.insert(field::INSERTED_AT, doc! { "$gt": bson::Timestamp::from(through) });
    let index = || Hint::Keys(by_insertion());
    let counting = relay.source.outbox.count_documents(behind.clone()).hint(index());
    let events = counting.max_time(LONGEST).await? + air.at(relay, through).await?;
    let first = relay.source.outbox.find_one(behind).sort(doc! { field::INSERTED_AT: 1 });
    let first = first.hint(index()).projection(doc! { field::OCCURRED_AT: 1 });
    // One in the air is hardly older.
    let first = if events > 0 { first.max_time(LONGEST).await? } else { None };
    let occurred = first.and_then(|record| record.get_datetime(field::OCCURRED_AT).ok());
    let oldest = occurred.and_then(|date| Timestamp::from_millis(date.timestamp_millis()));
    Ok(Pending { events, oldest, measured_at })
}

/// The index: with the entity, so that a shard's records are counted without fetching any.
pub fn by_insertion() -> Document {
    doc! { field::INSERTED_AT: 1, field::ENTITY_ID: 1 }
}

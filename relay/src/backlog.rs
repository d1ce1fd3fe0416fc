//! A second opinion on the lag, read from the source: how many records in the outbox
//! are not acknowledged, and how old the oldest of them is.
//!
//! A record carries no mark of being published (that would be one more write an event).
//! So the relay keeps count of those that are acknowledged and still there, in each
//! checkpoint; what the collection holds beyond them is pending. An event that the
//! change stream never brought stays pending, and is thus seen.

use std::time::Duration;

use bson::doc;
use mongodb::error::Error;
use mongodb::options::Hint;
use shared::outbox::field;
use shared::{Shard, Timestamp};

use crate::Relay;
use crate::lag::Backlog;

/// How often the source is asked.
const EVERY: Duration = Duration::from_secs(2);
/// The collection's own count is free but can be wrong after a crash of mongod, and knows
/// nothing of shards; counting one by one is exact and slow. So it is done only for a shard,
/// or where the two opinions disagree, and no more often than this many times what it took.
const EXACT_AT_MOST: u32 = 20;
/// With this much lag there is nothing odd about pending events.
const QUIET_SECONDS: f64 = 2.0;

/// Measures until the process stops.
pub async fn run(relay: &Relay) {
    let mut not_before = tokio::time::Instant::now();
    loop {
        // A shard's last figure holds until it may be counted again.
        if relay.shard == Shard::WHOLE || tokio::time::Instant::now() >= not_before {
            let measured = measure(relay, &mut not_before).await;
            relay.metrics.lag.set_backlog(measured.ok().flatten());
        }
        let oplog_begin = relay.source.oplog_begin().await;
        relay.metrics.lag.set_oplog_begin(oplog_begin.ok().flatten());
        tokio::time::sleep(EVERY).await;
    }
}

/// `None` as long as it is not known which records were published.
async fn measure(
    relay: &Relay,
    not_before: &mut tokio::time::Instant,
) -> Result<Option<Backlog>, Error> {
    let lag = &relay.metrics.lag;
    let Some(retained) = lag.retained() else {
        return Ok(None);
    };
    let measured_at = Timestamp::now();
    let estimate = match relay.shard {
        Shard::WHOLE => Some(relay.source.outbox.estimated_document_count().await?),
        _ => None,
    };
    let quiet = lag.seconds(measured_at).is_some_and(|seconds| seconds < QUIET_SECONDS);
    let is_doubtful =
        quiet && estimate != Some(retained) && tokio::time::Instant::now() >= *not_before;
    let mut count = estimate.unwrap_or_default();
    if is_doubtful || estimate.is_none() {
        let _alone = relay.counting.lock().await;
        let begun = tokio::time::Instant::now();
        count = count_exactly(relay).await?;
        *not_before = begun + begun.elapsed() * EXACT_AT_MOST + EVERY;
    }
    if is_doubtful {
        // Somebody else deleted published records: they are no longer retained.
        if count < retained && lag.retained() == Some(retained) {
            lag.retain(i64::try_from(retained - count).unwrap_or(0).saturating_neg());
        }
    }
    let pending = count.saturating_sub(retained);
    let oldest = if pending > 0 { oldest(relay).await? } else { None };
    Ok(Some(Backlog { pending, oldest, measured_at }))
}

/// Counts this shard's records one by one.
///
/// # Errors
/// Where MongoDB is away.
pub async fn count_exactly(relay: &Relay) -> Result<u64, Error> {
    let by_entity = doc! { field::ENTITY_ID: 1, field::VERSION: 1 };
    let ours = relay.shard.filter(field::ENTITY_ID);
    let count = relay.source.outbox.count_documents(ours);
    count.hint(Hint::Keys(by_entity)).await
}

/// The first record that occurred after everything proven.
async fn oldest(relay: &Relay) -> Result<Option<Timestamp>, Error> {
    let after = relay.metrics.lag.proven();
    let filter = match after {
        Some(moment) => doc! { field::OCCURRED_AT: { "$gt": moment } },
        None => doc! {},
    };
    let find = relay.source.outbox.find_one(filter);
    let found = find.sort(doc! { field::OCCURRED_AT: 1 }).await?;
    let date = found.and_then(|record| record.get_datetime(field::OCCURRED_AT).ok());
    Ok(date.and_then(|date| Timestamp::from_millis(date.timestamp_millis())))
}

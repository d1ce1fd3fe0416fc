//! What MongoDB knows of the whole pipeline: counts, and what the relay reports.
//!
//! Whatever is counted is bounded. What concerns the outbox walks the index of its ids,
//! which are in the order of time (UUID v7).

use std::collections::BTreeMap;

use futures::{TryStreamExt, try_join};
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, Timestamp as ClusterTime, doc};
use mongodb::error::Result;
use shared::Timestamp;
use shared::outbox::{self, binary, field};
use shared::watermark::{Rewound, Watermark};
use uuid::Uuid;

use super::{Division, Store};

/// Events that are looked at to know how fast they come.
const SAMPLE: i32 = 2_000;
/// Waiting events that are counted; beyond it is "so many or more".
pub const COUNTED: u64 = 10_000;
/// Seconds that the clocks of an api and of MongoDB may differ.
const CLOCKS_DIFFER: i64 = 1;
/// A pace is that of so many last milliseconds.
pub const PACE_MILLIS: i64 = 10_000;

/// As it was at one moment, or nearly: it is no transaction.
#[derive(Debug)]
pub struct Pipeline {
    /// What each collection holds, the outbox's two included; `None` where counting takes
    /// too long. [`COUNTED_DOCUMENTS`](super::COUNTED_DOCUMENTS) means: or more.
    pub counts: Option<BTreeMap<&'static str, u64>>,
    pub pace: Pace,
    /// `None` where the relay has proved nothing.
    pub waiting: Option<Waiting>,
    /// When the oldest event occurred that the projector has not dealt with; `None` where
    /// there is none, or it is not known, or it has left the outbox.
    pub oldest_unapplied: Option<Timestamp>,
    pub watermarks: Division,
    pub rewound: Option<Rewound>,
}

/// How fast events come.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    pub newest: Option<Timestamp>,
    /// Over the last [`PACE_MILLIS`], or over the last [`SAMPLE`] events where that many
    /// came in less.
    pub events_per_second: f64,
}

/// Events that occurred after the moment up to which the relay has proved that all are
/// published. Some of them it may have published since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// [`COUNTED`] means: or more.
    pub events: u64,
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// # Errors
    /// Where MongoDB is away.
    pub async fn pipeline(&self, now: Timestamp) -> Result<Pipeline> {
        let watermarks = self.watermarking.read().await?;
        let rewound = watermarks.rewound().cloned();
        let watermarks = watermarks.division();
        let proven = earliest(&watermarks, |watermark| watermark.proven_at);
        let unapplied = first_unapplied(&watermarks);
        let (counts, pace, waiting, oldest_unapplied) = try_join!(
            self.counting.counts(),
            self.pace(now),
            self.waiting_since(proven),
            self.first_inserted_after(unapplied),
        )?;
        Ok(Pipeline { counts, pace, waiting, oldest_unapplied, watermarks, rewound })
    }

    async fn pace(&self, now: Timestamp) -> Result<Pace> {
        let since = first_id(millis_before(now, PACE_MILLIS));
        let came = doc! { "$cond": [{ "$gte": ["$_id", since] }, 1, 0] };
        let found = self
            .in_outbox([
                doc! { "$sort": { "_id": -1 } },
                doc! { "$limit": SAMPLE },
                doc! { "$group": { "_id": null, "newest": { "$max": "$_id" },
                "oldest": { "$min": "$_id" }, "events": { "$sum": came } } },
            ])
            .await?;
        let Some(found) = found else {
            return Ok(Pace::default());
        };
        let newest = occurred(&found, "newest");
        Ok(Pace { newest, events_per_second: pace(&found, newest) })
    }

    async fn waiting_since(&self, moment: Option<Timestamp>) -> Result<Option<Waiting>> {
        let Some(moment) = moment else {
            return Ok(None);
        };
        let found = self
            .in_outbox([
                doc! { "$match": { "_id": { "$gte": first_id(moment) } } },
                doc! { "$sort": { "_id": 1 } },
                doc! { "$limit": i64::try_from(COUNTED).unwrap_or(i64::MAX) },
                doc! { "$group": { "_id": null, "oldest": { "$min": "$_id" }, "events": { "$sum": 1 } } },
            ])
            .await?;
        Ok(Some(found.map_or_else(Waiting::default, |found| Waiting {
            events: events(&found),
            oldest: occurred(&found, "oldest"),
        })))
    }

    /// When the first event occurred that was inserted after this moment of MongoDB's clock.
    /// Ids carry the api's clock: they tell where to begin to look, no more.
    async fn first_inserted_after(&self, moment: Option<ClusterTime>) -> Result<Option<Timestamp>> {
        let Some(moment) = moment else {
            return Ok(None);
        };
        let begin = Timestamp::from_millis((i64::from(moment.time) - CLOCKS_DIFFER) * 1000);
        let found = self
            .in_outbox([
                doc! { "$match": { "_id": { "$gte": begin.map(first_id) } } },
                doc! { "$sort": { "_id": 1 } },
                doc! { "$limit": i64::try_from(COUNTED).unwrap_or(i64::MAX) },
                doc! { "$match": { field::INSERTED_AT: { "$gt": moment } } },
                doc! { "$limit": 1 },
                doc! { "$project": { "_id": 1 } },
            ])
            .await?;
        Ok(found.and_then(|found| occurred(&found, "_id")))
    }

    /// The one document that the stages make of the outbox, if they make any.
    async fn in_outbox(
        &self,
        stages: impl IntoIterator<Item = Document> + Send,
    ) -> Result<Option<Document>> {
        let outbox = self.typed::<RawDocumentBuf>(outbox::COLLECTION);
        outbox.aggregate(stages).await?.try_next().await
    }
}

/// The earliest of what all shards say; `None` where one does not say it.
pub fn earliest<T: Ord>(division: &Division, says: impl Fn(&Watermark) -> Option<T>) -> Option<T> {
    let said: Option<Vec<T>> =
        division.iter().map(|(_, watermark)| says(watermark.as_ref()?)).collect();
    said?.into_iter().min()
}

/// The moment after which events may be in Kafka and not in MySQL; `None` where all that
/// is published is applied, or nobody knows.
fn first_unapplied(division: &Division) -> Option<ClusterTime> {
    let reports = division.iter().filter_map(|(_, watermark)| watermark.as_ref());
    let behind = reports.filter_map(|watermark| {
        watermark.applied_through.filter(|applied| *applied < watermark.published_through)
    });
    behind.min()
}

fn millis_before(moment: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(moment.millis() - millis).unwrap_or(moment)
}

/// The smallest id that an event of this moment can have.
fn first_id(moment: Timestamp) -> Binary {
    let millis = u64::try_from(moment.millis()).unwrap_or(0);
    binary(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
}

/// The moment that an event's id carries.
fn occurred(found: &Document, key: &str) -> Option<Timestamp> {
    let Some(Bson::Binary(id)) = found.get(key) else {
        return None;
    };
    let (seconds, nanos) = Uuid::from_slice(&id.bytes).ok()?.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()? * 1000 + i64::from(nanos / 1_000_000);
    Timestamp::from_millis(millis)
}

fn events(found: &Document) -> u64 {
    let events = found.get_i32("events").unwrap_or(0);
    u64::try_from(events).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn pace(found: &Document, newest: Option<Timestamp>) -> f64 {
    let events = events(found);
    let sampled = u64::try_from(SAMPLE).unwrap_or(u64::MAX);
    let window = match (newest, occurred(found, "oldest")) {
        (Some(newest), Some(oldest)) if events >= sampled => newest.millis() - oldest.millis(),
        _ => PACE_MILLIS,
    };
    events as f64 * 1000.0 / window.max(1) as f64
}

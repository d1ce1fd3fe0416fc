//! How far an event has come, as far as the watermarks prove it.
//!
//! A watermark names a moment of MongoDB's logical clock, and everything committed up to
//! it is published (or applied). An event carries no such moment: when it is written, its
//! commit lies ahead. But MongoDB can be asked what it held at that moment: what it did
//! hold was committed by then.

use mongodb::bson::{Document as Fields, RawDocumentBuf, Timestamp as ClusterTime, doc};
use serde::Deserialize;
use shared::Timestamp;
use shared::outbox::{self, binary};
use shared::watermark::{NOTHING, Watermark};
use uuid::Uuid;

use super::Store;
use super::doubt::Doubt;
use super::error::server_code;
use super::watermarks::Watermarks;
use crate::http::ApiError;

/// No transaction of MongoDB lives longer, in seconds: its own limit is 60 by default, and
/// it looks for those that are over it twice in that time.
const LONGEST_TRANSACTION: u32 = 120;

/// An event that is in the outbox, or was found unpublishable.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub event: Event,
    pub refusal: Option<Refusal>,
    /// MongoDB's clock after the read that found it: it was committed by then.
    seen_at: ClusterTime,
}

/// An outbox record without its payload.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    #[serde(rename = "_id")]
    id: mongodb::bson::Uuid,
    pub topic: String,
    pub entity_id: String,
    pub event_type: String,
    pub version: i64,
    pub occurred_at: Timestamp,
    /// MongoDB's clock when it was written, so before its commit. Records of an earlier
    /// release have none.
    #[serde(default)]
    pub(super) inserted_at: Option<ClusterTime>,
}

/// Why Kafka will never take it.
#[derive(Debug, Clone, Deserialize)]
pub struct Refusal {
    pub reason: String,
    pub died_at: Timestamp,
    #[serde(default)]
    record: Option<Event>,
}

/// What is proven of an event; each by the watermark that proves it.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub published: Option<Watermark>,
    pub applied: Option<Watermark>,
    pub refusal: Option<Refusal>,
    /// Why it is not called applied although the projector is past it.
    pub doubt: Option<Doubt>,
    /// How old what is known may be.
    pub as_of: Option<Timestamp>,
}

impl Event {
    pub fn id(&self) -> Uuid {
        Uuid::from_bytes(self.id.bytes())
    }
}

impl Store {
    /// # Errors
    /// NotFound where the event never was, or was purged from the outbox.
    pub async fn event(&self, id: Uuid) -> Result<Recorded, ApiError> {
        let (found, seen_at) = self.find_majority(outbox::COLLECTION, id).await?;
        if let Some(event) = found {
            return Ok(Recorded { event, refusal: None, seen_at });
        }
        let mut refusal = self.refusal(id).await?;
        let event = refusal.as_mut().and_then(|refusal| refusal.record.take());
        let event = event.ok_or(ApiError::NotFound("event"))?;
        Ok(Recorded { event, refusal, seen_at })
    }

    async fn refusal(&self, id: Uuid) -> Result<Option<Refusal>, ApiError> {
        Ok(self.find_majority(outbox::DEAD_COLLECTION, id).await?.0)
    }

    /// How far the event has come by `watermarks`. What `before` proves is not asked again.
    pub async fn standing(
        &self,
        recorded: &Recorded,
        watermarks: &Watermarks,
        before: Standing,
    ) -> Result<Standing, ApiError> {
        let entity = &recorded.event.entity_id;
        let mut standing = Standing {
            as_of: watermarks.published(entity).map(|watermark| watermark.at).or(before.as_of),
            refusal: before.refusal.or_else(|| recorded.refusal.clone()),
            ..before
        };
        if standing.refusal.is_some() {
            return Ok(standing);
        }
        if standing.published.is_none() {
            standing.published = match watermarks.published(entity) {
                Some(by) if self.held(recorded, by.published_through).await? => Some(by.clone()),
                _ => return Ok(standing),
            };
            // The relay passes it as well where Kafka will never take it, and has said so
            // before.
            standing.refusal = self.refusal(recorded.event.id()).await?;
            if standing.refusal.is_some() {
                standing.published = None;
                return Ok(standing);
            }
        }
        if let (None, Some((by, through))) = (&standing.applied, watermarks.applied(entity))
            && self.held(recorded, through).await?
        {
            standing.doubt = self.doubt(recorded, watermarks).await?;
            standing.applied = Some(by.clone()).filter(|_| standing.doubt.is_none());
        }
        Ok(standing)
    }

    /// Whether the event was committed at that moment of MongoDB's clock, or before.
    pub(super) async fn held(
        &self,
        recorded: &Recorded,
        through: ClusterTime,
    ) -> Result<bool, ApiError> {
        if through == NOTHING {
            return Ok(false);
        }
        let inserted = recorded.event.inserted_at;
        if inserted.is_some_and(|inserted| through < inserted) {
            return Ok(false);
        }
        if recorded.seen_at <= through {
            return Ok(true);
        }
        let concern = doc! { "level": "snapshot", "atClusterTime": through };
        let then = self.find_by_id::<Event>(outbox::COLLECTION, recorded.event.id(), concern);
        match then.await {
            Ok((found, _)) => Ok(found.is_some()),
            // MongoDB remembers the last five minutes. Who has published nothing for so
            // long has published what is older still.
            Err(Asking::Forgotten) => Ok(inserted.is_some_and(|inserted| {
                inserted.time.saturating_add(LONGEST_TRANSACTION) <= through.time
            })),
            Err(Asking::Failed(error)) => Err(error),
        }
    }

    async fn find_majority<T: serde::de::DeserializeOwned>(
        &self,
        collection: &str,
        id: Uuid,
    ) -> Result<(Option<T>, ClusterTime), ApiError> {
        let concern = doc! { "level": "majority" };
        match self.find_by_id(collection, id, concern).await {
            Ok(found) => Ok(found),
            Err(Asking::Failed(error)) => Err(error),
            Err(Asking::Forgotten) => Err(ApiError::Unavailable { outcome_unknown: false }),
        }
    }

    /// The record without its payload, and MongoDB's clock after the read.
    async fn find_by_id<T: serde::de::DeserializeOwned>(
        &self,
        collection: &str,
        id: Uuid,
        read_concern: Fields,
    ) -> Result<(Option<T>, ClusterTime), Asking> {
        let command = doc! {
            "find": collection, "filter": { outbox::field::EVENT_ID: binary(id) }, "limit": 1,
            "singleBatch": true, "readConcern": read_concern,
            "projection": { outbox::field::PAYLOAD: 0, "record.payload": 0 },
        };
        let database = self.database.clone();
        let answer = self.in_time(async move {
            match database.run_command(command).await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if is_forgotten(&error) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        let answer = answer.await.map_err(Asking::Failed)?.ok_or(Asking::Forgotten)?;
        read(&answer).map_err(|error| Asking::Failed(ApiError::internal(error)))
    }
}

/// Why there is no answer about a moment.
enum Asking {
    /// The server does not know any more, or not yet.
    Forgotten,
    Failed(ApiError),
}

/// SnapshotTooOld, SnapshotUnavailable; InvalidOptions: the moment is not reached yet.
fn is_forgotten(error: &mongodb::error::Error) -> bool {
    server_code(error).is_some_and(|(code, _)| matches!(code, 239 | 246 | 72))
}

fn read<T: serde::de::DeserializeOwned>(
    answer: &Fields,
) -> mongodb::error::Result<(Option<T>, ClusterTime)> {
    let missing = |what| move |_| mongodb::error::Error::custom(format!("no {what} in the answer"));
    let cursor = answer.get_document("cursor").map_err(missing("cursor"))?;
    let batch = cursor.get_array("firstBatch").map_err(missing("batch"))?;
    let seen_at = answer.get_timestamp("operationTime").map_err(missing("operation time"))?;
    // By way of raw BSON: the other way takes dates for text.
    let raw = batch.first().and_then(|found| found.as_document()).map(RawDocumentBuf::try_from);
    let found = raw.transpose()?.map(|raw| mongodb::bson::deserialize_from_slice(raw.as_bytes()));
    Ok((found.transpose()?, seen_at))
}

//! Records that Kafka will never take: set aside with their reason, so that the rest
//! goes on.

use bson::{Document, RawDocument, doc};
use mongodb::error::{Error, ErrorKind};
use shared::Timestamp;
use shared::event::Domain;
use shared::outbox::{BrokenRecord, StoredRecord, field};

use crate::batch::Event;
use crate::source::{Source, command_code};
use crate::topics::Topics;

/// Why a record is dead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unpublishable {
    #[error(transparent)]
    Broken(#[from] BrokenRecord),
    #[error("unknown topic {0:?}")]
    UnknownTopic(String),
    #[error("{bytes} bytes; the limit is {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("refused by Kafka: {0}")]
    Refused(String),
}

impl Unpublishable {
    /// For filters in `outbox_dead`; the error's text is for people.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken_record",
            Self::UnknownTopic(_) => "unknown_topic",
            Self::TooLarge { .. } => "too_large",
            Self::Refused(_) => "refused_by_kafka",
        }
    }
}

/// An event that can be handed to Kafka.
pub struct Publishable<'a> {
    pub domain: Domain,
    /// As it is called on this cluster.
    pub topic: &'a str,
    pub record: StoredRecord<'a>,
}

/// Whether `event` can be handed to Kafka. Pure.
///
/// # Errors
/// [`Unpublishable`]: it never can.
pub fn judge<'a>(
    event: &'a Event,
    topics: &'a Topics,
    limit: usize,
) -> Result<Publishable<'a>, Unpublishable> {
    let record = event.record()?;
    let Some((domain, topic)) = topics.of(record.topic) else {
        return Err(Unpublishable::UnknownTopic(record.topic.to_owned()));
    };
    let bytes = record.payload.len();
    if bytes > limit {
        return Err(Unpublishable::TooLarge { bytes, limit });
    }
    Ok(Publishable { domain, topic, record })
}

/// Moves the record to `outbox_dead`. Doing it twice is the same as once, so a crash
/// on the way costs nothing.
///
/// # Errors
/// Where MongoDB is away.
pub async fn bury(source: &Source, event: &Event, why: &Unpublishable) -> Result<(), Error> {
    let record = event.document();
    let id = record_id(record);
    tracing::error!(reason = why.reason(), error = %why, event = %id, "unpublishable: moved to outbox_dead");
    let filter = doc! { "_id": id };
    match replace(source, &filter, entry(record, why)).await {
        Ok(()) => {
            source.outbox.delete_one(filter).await?;
        }
        // With the reason around it, a record near MongoDB's own limit does not fit.
        // Then the outbox keeps the payload, until the purge.
        Err(error) if is_too_large(&error) => {
            let mut slim = entry(record, why);
            slim.remove("record");
            replace(source, &filter, slim).await?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn replace(source: &Source, filter: &Document, entry: Document) -> Result<(), Error> {
    let replaced = source.dead.replace_one(filter.clone(), entry).upsert(true).await;
    replaced.map(|_| ())
}

fn entry(record: &RawDocument, why: &Unpublishable) -> Document {
    doc! {
        "reason": why.reason(),
        "error": why.to_string(),
        "died_at": Timestamp::now(),
        "record": Document::try_from(record).unwrap_or_default(),
    }
}

/// Whatever the record has for an `_id`: a broken one may have anything.
fn record_id(record: &RawDocument) -> bson::Bson {
    let id = record.get(field::EVENT_ID).ok().flatten();
    id.and_then(|id| bson::Bson::try_from(id).ok()).unwrap_or(bson::Bson::Null)
}

fn is_too_large(error: &Error) -> bool {
    const BSON_OBJECT_TOO_LARGE: i32 = 10_334;
    command_code(error) == Some(BSON_OBJECT_TOO_LARGE)
        || matches!(
            error.kind.as_ref(),
            ErrorKind::InvalidArgument { .. } | ErrorKind::BsonSerialization(_)
        )
}

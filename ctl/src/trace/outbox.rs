use bson::{Document, doc};
use mongodb::error::{Error, Result};
use shared::Timestamp;
use shared::outbox::{COLLECTION, DEAD_COLLECTION, binary, field};
use shared::process::MongoSettings;
use uuid::Uuid;

use super::report::Event;
use crate::servers;

/// An event in the outbox, or set aside from it.
#[derive(Debug, Clone)]
pub struct Stored {
    pub event: Event,
    /// MongoDB's clock when it was inserted, whole seconds: its commit is later.
    pub inserted_at: Option<Timestamp>,
    /// Why Kafka will never take it.
    pub refused: Option<String>,
}

/// `None` where neither the outbox nor `outbox_dead` has it.
pub async fn find(settings: &MongoSettings, id: Uuid) -> Result<Option<Stored>> {
    let database = servers::mongodb(settings).await?;
    let by_id = || doc! { field::EVENT_ID: binary(id) };
    let dead = database.collection::<Document>(DEAD_COLLECTION).find_one(by_id()).await?;
    let outbox = database.collection::<Document>(COLLECTION);
    let live = outbox.find_one(by_id()).projection(doc! { field::PAYLOAD: 0 }).await?;
    let inner = dead.as_ref().and_then(|dead| dead.get_document("record").ok());
    let Some(record) = inner.or(live.as_ref()) else {
        return Ok(None);
    };
    let refused = dead.as_ref().map(|dead| {
        let text = |key| dead.get_str(key).unwrap_or_default();
        format!("{}: {}", text("reason"), text("error"))
    });
    let inserted_at = record.get_timestamp(field::INSERTED_AT).ok();
    Ok(Some(Stored {
        event: event(record).map_err(Error::custom)?,
        inserted_at: inserted_at.and_then(|at| Timestamp::from_millis(i64::from(at.time) * 1000)),
        refused,
    }))
}

fn event(record: &Document) -> std::result::Result<Event, bson::error::Error> {
    let text = |key| record.get_str(key).map(str::to_owned);
    let occurred_at = record.get_datetime(field::OCCURRED_AT)?.timestamp_millis();
    Ok(Event {
        topic: text(field::TOPIC)?,
        entity_id: text(field::ENTITY_ID)?,
        event_type: text(field::EVENT_TYPE)?,
        version: record.get_i64(field::VERSION)?,
        occurred_at: Timestamp::from_millis(occurred_at),
    })
}

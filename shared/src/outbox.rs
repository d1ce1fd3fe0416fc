//! The outbox record: the one contract between `api` and `relay`.
//!
//! `payload` is the finished JSON text of the Kafka value, encoded once, in the
//! API. The relay never parses it, so no change of a document's schema can break
//! or slow the relay.

use bson::raw::RawElement;
use bson::spec::BinarySubtype;
use bson::{Binary, RawBsonRef, RawDocument, rawdoc};
use serde::Serialize;
use uuid::Uuid;

use crate::event::{Envelope, EventType};
use crate::{Id, Timestamp, is_traceparent};

/// The collection both sides use.
pub const COLLECTION: &str = "outbox";

/// Where the relay puts records that Kafka will never take, each with its reason.
pub const DEAD_COLLECTION: &str = "outbox_dead";

/// The largest payload in bytes: the topics are made to take it, and the API stores no
/// larger one.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// Names of the record's fields in MongoDB, for filters, indexes and projections.
pub mod field {
    pub const EVENT_ID: &str = "_id";
    pub const TOPIC: &str = "topic";
    pub const ENTITY_ID: &str = "entity_id";
    pub const EVENT_TYPE: &str = "event_type";
    pub const VERSION: &str = "version";
    pub const OCCURRED_AT: &str = "occurred_at";
    pub const INSERTED_AT: &str = "inserted_at";
    pub const TRACEPARENT: &str = "traceparent";
    pub const PAYLOAD: &str = "payload";
}

/// An event about to be stored beside its document.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRecord {
    /// UUID v7, stored as BSON binary subtype 4.
    pub event_id: Uuid,
    pub event_type: EventType,
    pub entity_id: Id,
    /// The document's version after this write: the order of an entity's events.
    pub version: i64,
    pub occurred_at: Timestamp,
    /// W3C Trace Context of the request, if it carried one.
    pub traceparent: Option<String>,
    /// The Kafka value, byte for byte.
    pub payload: String,
}

impl OutboxRecord {
    /// Encodes `data` into the event's final JSON.
    ///
    /// # Errors
    /// Only where `data` itself cannot be JSON (a map with keys that are no text).
    pub fn new<D: Serialize>(
        event_type: EventType,
        entity_id: Id,
        version: i64,
        occurred_at: Timestamp,
        traceparent: Option<String>,
        data: &D,
    ) -> Result<Self, serde_json::Error> {
        let event_id = Uuid::now_v7();
        let payload = serde_json::to_string(&Envelope {
            event_type: event_type.as_str().into(),
            event_id: event_id.to_string().into(),
            timestamp: occurred_at.to_string().into(),
            entity_id: entity_id.to_string().into(),
            data,
        })?;
        Ok(Self { event_id, event_type, entity_id, version, occurred_at, traceparent, payload })
    }

    /// Bytes that Kafka counts: key, value, and headers with their names and lengths. What is
    /// stored must fit into a message, or it is acknowledged and never published.
    pub fn message_bytes(&self) -> usize {
        const KEY: usize = 24;
        const OVERHEAD: usize = 256;
        let traceparent = self.traceparent.as_ref().map_or(0, String::len);
        KEY + OVERHEAD + traceparent + self.payload.len()
    }

    /// The record as MongoDB stores it. For the empty `inserted_at` the server puts its own
    /// logical clock when it inserts the record, just before the commit; that a watermark
    /// can be compared with, and no clock of ours is believed.
    pub fn to_bson(&self) -> bson::RawDocumentBuf {
        let mut record = rawdoc! {
            "_id": binary(self.event_id),
            "topic": self.event_type.domain().topic(),
            "entity_id": self.entity_id.to_string(),
            "event_type": self.event_type.as_str(),
            "version": self.version,
            "occurred_at": bson::DateTime::from_millis(self.occurred_at.millis()),
            "inserted_at": bson::Timestamp { time: 0, increment: 0 },
        };
        if let Some(traceparent) = &self.traceparent {
            record.append(bson::cstr!("traceparent"), traceparent.as_str());
        }
        record.append(bson::cstr!("payload"), self.payload.as_str());
        record
    }
}

/// An event id as MongoDB stores it: binary subtype 4.
pub fn binary(event_id: Uuid) -> Binary {
    Binary { subtype: BinarySubtype::Uuid, bytes: event_id.as_bytes().to_vec() }
}

/// A stored record, read without copying. Text stays text: the relay forwards
/// what the API wrote and judges none of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredRecord<'a> {
    pub event_id: Uuid,
    pub topic: &'a str,
    pub entity_id: &'a str,
    pub event_type: &'a str,
    pub version: i64,
    pub occurred_at: bson::DateTime,
    pub traceparent: Option<&'a str>,
    pub payload: &'a str,
}

/// A record that somebody else damaged: a field is missing or has another type.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("broken outbox record: {0}")]
pub struct BrokenRecord(String);

impl<'a> StoredRecord<'a> {
    /// # Errors
    /// [`BrokenRecord`], naming the first field that is missing or mistyped.
    pub fn parse(raw: &'a RawDocument) -> Result<Self, BrokenRecord> {
        let fields = Fields::of(raw)?;
        let text = RawBsonRef::as_str;
        let id = typed(field::EVENT_ID, fields.event_id, RawBsonRef::as_binary)?;
        let event_id = match id.subtype {
            BinarySubtype::Uuid => Uuid::from_slice(id.bytes).ok(),
            _ => None,
        };
        Ok(Self {
            event_id: event_id.ok_or_else(|| BrokenRecord("_id is not a UUID".to_owned()))?,
            topic: typed(field::TOPIC, fields.topic, text)?,
            entity_id: typed(field::ENTITY_ID, fields.entity_id, text)?,
            event_type: typed(field::EVENT_TYPE, fields.event_type, text)?,
            version: typed(field::VERSION, fields.version, RawBsonRef::as_i64)?,
            occurred_at: typed(field::OCCURRED_AT, fields.occurred_at, RawBsonRef::as_datetime)?,
            traceparent: typed(field::TRACEPARENT, fields.traceparent, text)
                .ok()
                .filter(|text| is_traceparent(text)),
            payload: typed(field::PAYLOAD, fields.payload, text)?,
        })
    }
}

/// A record's fields, found in one pass: each look-up by name would begin at the front
/// again, and the relay reads every event that there is.
#[derive(Default)]
struct Fields<'a> {
    event_id: Option<RawElement<'a>>,
    topic: Option<RawElement<'a>>,
    entity_id: Option<RawElement<'a>>,
    event_type: Option<RawElement<'a>>,
    version: Option<RawElement<'a>>,
    occurred_at: Option<RawElement<'a>>,
    traceparent: Option<RawElement<'a>>,
    payload: Option<RawElement<'a>>,
}

impl<'a> Fields<'a> {
    fn of(raw: &'a RawDocument) -> Result<Self, BrokenRecord> {
        let mut fields = Self::default();
        for element in raw.iter_elements() {
            let element = element.map_err(|error| BrokenRecord(error.to_string()))?;
            let place = match element.key().as_str() {
                field::EVENT_ID => &mut fields.event_id,
                field::TOPIC => &mut fields.topic,
                field::ENTITY_ID => &mut fields.entity_id,
                field::EVENT_TYPE => &mut fields.event_type,
                field::VERSION => &mut fields.version,
                field::OCCURRED_AT => &mut fields.occurred_at,
                field::TRACEPARENT => &mut fields.traceparent,
                field::PAYLOAD => &mut fields.payload,
                _ => continue,
            };
            place.get_or_insert(element);
        }
        Ok(fields)
    }
}

fn typed<'a, T>(
    name: &str,
    element: Option<RawElement<'a>>,
    cast: impl FnOnce(RawBsonRef<'a>) -> Option<T>,
) -> Result<T, BrokenRecord> {
    let element = element.ok_or_else(|| BrokenRecord(format!("{name} is missing")))?;
    let value = element.value().map_err(|error| BrokenRecord(error.to_string()))?;
    cast(value).ok_or_else(|| BrokenRecord(format!("{name} is a {:?}", element.element_type())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(traceparent: Option<&str>) -> OutboxRecord {
        let id = Id::new();
        OutboxRecord::new(
            EventType::PostDeleted,
            id,
            3,
            Timestamp::now(),
            traceparent.map(str::to_owned),
            &crate::event::deletion_data(crate::event::Domain::Post, id, 3),
        )
        .unwrap()
    }

    #[test]
    fn the_relay_reads_what_the_api_wrote() {
        for traceparent in [None, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")] {
            let written = record(traceparent);
            let raw = written.to_bson();
            let read = StoredRecord::parse(&raw).unwrap();
            assert_eq!(read.event_id, written.event_id);
            assert_eq!(read.topic, "post");
            assert_eq!(read.entity_id, written.entity_id.to_string());
            assert_eq!(read.event_type, "post.deleted");
            assert_eq!(read.version, 3);
            assert_eq!(read.occurred_at.timestamp_millis(), written.occurred_at.millis());
            assert_eq!(read.traceparent, traceparent);
            assert_eq!(read.payload, written.payload);
        }
    }

    #[test]
    fn the_payload_has_exactly_the_contracts_five_keys() {
        let value: serde_json::Value = serde_json::from_str(&record(None).payload).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = ["event_type", "event_id", "timestamp", "entity_id", "data"];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_broken_record_names_its_field() {
        let mut document = bson::Document::try_from(record(None).to_bson()).unwrap();
        document.remove("payload");
        let raw = bson::RawDocumentBuf::try_from(&document).unwrap();
        let error = StoredRecord::parse(&raw).unwrap_err().to_string();
        assert!(error.contains("payload"), "{error}");
    }
}

//! The outbox as its reader sees it.

use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{Answer, id, keys};
use crate::database::Database;

/// What must never be in an event: parts of the secrets that the fixtures use.
const SECRETS: [&str; 5] = ["password", "argon2", "banking", "Secret Bank", "last4-secret"];

#[derive(Debug, Clone)]
pub struct Event {
    pub id: Uuid,
    pub topic: String,
    pub entity_id: String,
    pub event_type: String,
    pub version: i64,
    pub occurred_at: DateTime,
    pub traceparent: Option<String>,
    pub payload: Value,
    text: String,
}

impl Event {
    fn parse(record: &Document) -> Self {
        let text = |key: &str| record.get_str(key).unwrap().to_owned();
        let Some(Bson::Binary(event_id)) = record.get("_id") else { panic!("_id of {record}") };
        Self {
            id: event_id.to_uuid().unwrap().into(),
            topic: text("topic"),
            entity_id: text("entity_id"),
            event_type: text("event_type"),
            version: record.get_i64("version").unwrap(),
            occurred_at: *record.get_datetime("occurred_at").unwrap(),
            traceparent: record.get_str("traceparent").ok().map(str::to_owned),
            payload: serde_json::from_str(&text("payload")).unwrap(),
            text: text("payload"),
        }
    }

    /// Asserts the record around the data, and that it keeps the secrets.
    #[track_caller]
    pub fn check(&self, event_type: &str, entity_id: &str, version: i64) {
        let Self { payload, .. } = self;
        assert_eq!(keys(payload), ["data", "entity_id", "event_id", "event_type", "timestamp"]);
        assert_eq!(self.event_type, event_type);
        assert_eq!(payload["event_type"], event_type);
        assert_eq!(self.topic, event_type.split_once('.').unwrap().0, "the part before the dot");
        assert_eq!(self.entity_id, entity_id, "{event_type}");
        assert_eq!(payload["entity_id"], entity_id);
        assert_eq!(self.version, version, "{event_type} of {entity_id}");
        assert_eq!(payload["event_id"], self.id.to_string());
        assert_eq!(self.id.get_version_num(), 7, "{}", self.id);
        let moment = chrono::DateTime::parse_from_rfc3339(payload["timestamp"].as_str().unwrap());
        assert_eq!(moment.unwrap().timestamp_millis(), self.occurred_at.timestamp_millis());
        for secret in SECRETS {
            assert!(!self.text.contains(secret), "{secret:?} in {}", self.text);
        }
    }

    /// Asserts the event of a write that left `document`.
    #[track_caller]
    pub fn carries(&self, event_type: &str, document: &Value) {
        self.check(event_type, id(document), document["version"].as_i64().unwrap());
        let mut public = document.clone();
        public.as_object_mut().unwrap().remove("banking_info");
        assert_eq!(self.payload["data"], public, "{event_type}");
        assert_eq!(self.payload["timestamp"], document["updated_at"]);
    }

    /// Asserts the event of a write that took the entity away.
    #[track_caller]
    pub fn tells_deletion(&self, topic: &str, entity_id: &str, version: i64) {
        self.check(&format!("{topic}.deleted"), entity_id, version);
        let data = json!({ format!("{topic}_id"): entity_id, "version": version });
        assert_eq!(self.payload["data"], data);
    }
}

impl Answer {
    /// The event that the answer to a write names.
    #[track_caller]
    pub fn event_id(&self) -> Uuid {
        let header = self.header("x-event-id");
        header.unwrap_or_else(|| panic!("{}: no X-Event-ID", self.what)).parse().unwrap()
    }
}

impl Database {
    /// Everything in the outbox, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        self.all("outbox").await.iter().map(Event::parse).collect()
    }

    pub async fn events_of(&self, entity_id: &str) -> Vec<Event> {
        let events = self.events().await.into_iter();
        events.filter(|event| event.entity_id == entity_id).collect()
    }

    /// The event that this answer names, which must be there once the answer is.
    pub async fn event_of(&self, answer: &Answer) -> Event {
        let wanted = answer.event_id();
        let events = self.events().await.into_iter();
        let found = events.into_iter().find(|event| event.id == wanted);
        found.unwrap_or_else(|| panic!("{}: {wanted} is not in the outbox", answer.what))
    }
}

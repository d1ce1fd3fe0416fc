use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Id;
use crate::event::Domain;

/// Names of the Kafka headers. A record without them was written by the older
/// producer (contract §2): that is how to tell.
pub mod header {
    pub const EVENT_ID: &str = "event_id";
    pub const EVENT_TYPE: &str = "event_type";
    /// Decimal text.
    pub const VERSION: &str = "version";
    /// W3C Trace Context, where the request carried one.
    pub const TRACEPARENT: &str = "traceparent";
}

/// The value of a Kafka record: exactly these five keys (contract §2). What more
/// there is to say of an event goes in Kafka headers.
///
/// `D` is the data: a document when writing, [`RawValue`] when reading, so that
/// the data is decoded once the event type has told what it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<'a, D = &'a RawValue> {
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    /// Ours is a UUID v7, the older producer's a v4.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// RFC 3339; the moment of the write.
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub entity_id: Cow<'a, str>,
    pub data: D,
}

/// The data of a delete event: the id under the domain's name for it, and the version.
pub fn deletion_data(domain: Domain, id: Id, version: i64) -> serde_json::Value {
    serde_json::json!({ domain.id_key(): id, "version": version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_without_touching_the_data() {
        let text = r#"{"event_type":"post.deleted","event_id":"e","timestamp":"t","entity_id":"i","data":{"post_id":"i","version":7}}"#;
        let read: Envelope = serde_json::from_str(text).unwrap();
        assert_eq!(read.data.get(), r#"{"post_id":"i","version":7}"#);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}

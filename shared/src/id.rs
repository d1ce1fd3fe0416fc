use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bson::{Bson, oid::ObjectId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The identity of a document: an ObjectId in BSON, 24 lower-case hex digits in
/// JSON, in Kafka keys and in MySQL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(ObjectId);

/// The text is not 24 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected 24 hex digits")]
pub struct InvalidId;

impl Id {
    /// A fresh id, unique across processes and roughly ordered by time.
    #[expect(clippy::new_without_default, reason = "two calls give two different ids")]
    pub fn new() -> Self {
        Self(ObjectId::new())
    }

    pub fn object_id(self) -> ObjectId {
        self.0
    }
}

impl From<ObjectId> for Id {
    fn from(id: ObjectId) -> Self {
        Self(id)
    }
}

impl From<Id> for Bson {
    fn from(id: Id) -> Self {
        Bson::ObjectId(id.0)
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        ObjectId::parse_str(text).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `ObjectId::to_hex` allocates twice, and each document has several ids.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<str>::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        // Takes text too: nothing of ours writes ids so, but a restored dump may.
        ObjectId::deserialize(deserializer).map(Self)
    }
}

/// As JSON writes it.
impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9a-fA-F]{24}$",
            "examples": ["65a1b2c3d4e5f60718293a4b"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Holder {
        id: Id,
    }

    #[test]
    fn is_hex_in_json_and_an_object_id_in_bson() {
        let holder = Holder { id: "65a1b2c3d4e5f60718293a4b".parse().unwrap() };
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(json, r#"{"id":"65a1b2c3d4e5f60718293a4b"}"#);
        assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);

        let raw = bson::serialize_to_raw_document_buf(&holder).unwrap();
        assert_eq!(raw.get_object_id("id").unwrap(), holder.id.object_id());
        assert_eq!(bson::deserialize_from_slice::<Holder>(raw.as_bytes()).unwrap(), holder);
    }

    #[test]
    fn refuses_what_is_not_24_hex_digits() {
        for text in ["", "abc", "65a1b2c3d4e5f60718293a4", "65a1b2c3d4e5f60718293a4bb", "zzzz"] {
            assert!(text.parse::<Id>().is_err(), "{text:?} was taken for an id");
        }
    }
}

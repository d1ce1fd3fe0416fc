//! A Kafka record as it came: what a dead letter must give back untouched.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Headers, Message};
use shared::event::{Domain, header};

use crate::decode::decode;

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name on this cluster, its prefix included.
    pub topic: Arc<str>,
    pub partition: i32,
}

/// What `projection_progress` has room for.
const LONGEST_EVENT_ID: usize = 36;

/// A record's headers, in one piece of memory: a batch holds many thousands of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RecordHeaders(Box<[u8]>);

/// Stands for a header without a value.
const NO_VALUE: u32 = u32::MAX;

impl<'a> FromIterator<(&'a str, Option<&'a [u8]>)> for RecordHeaders {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut bytes = Vec::new();
        for (name, value) in headers {
            // Kafka itself counts both in 32 bits.
            bytes.extend((name.len() as u32).to_ne_bytes());
            bytes.extend(value.map_or(NO_VALUE, |value| value.len() as u32).to_ne_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(value.unwrap_or_default());
        }
        Self(bytes.into())
    }
}

impl RecordHeaders {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let name_length = u32::from_ne_bytes(*rest.split_off(..4)?.as_array()?);
            let value_length = u32::from_ne_bytes(*rest.split_off(..4)?.as_array()?);
            let name = rest.split_off(..name_length as usize)?;
            let value = match value_length {
                NO_VALUE => None,
                length => Some(rest.split_off(..length as usize)?),
            };
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for RecordHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub partition: Partition,
    pub offset: i64,
    /// What MySQL's progress shows at least before this record is applied: the offset of the
    /// record before it. `None` if that is not known.
    pub after: Option<i64>,
    /// Whose events the topic holds.
    pub domain: Domain,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: RecordHeaders,
}

impl Record {
    pub(crate) fn from_message(
        message: &BorrowedMessage<'_>,
        domain: Domain,
        topic: Arc<str>,
    ) -> Self {
        Self {
            partition: Partition { topic, partition: message.partition() },
            offset: message.offset(),
            after: None,
            domain,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers_of(message),
        }
    }

    /// What the record takes of a batch's budget of bytes.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + text(&self.key) + text(&self.value) + self.headers.0.len()
    }

    /// The event's id: as the headers say it, else as `decoded`. One and the same for a record
    /// whenever it is read, so that another record at its offset is told apart.
    pub(crate) fn event_id<'a>(&'a self, decoded: Option<&'a str>) -> Option<&'a str> {
        let mut headers = self.headers.iter();
        let said = headers.find_map(|(name, value)| (name == header::EVENT_ID).then_some(value?));
        let said = said.and_then(|value| std::str::from_utf8(value).ok()).or(decoded);
        said.filter(|id| id.len() <= LONGEST_EVENT_ID)
    }

    /// Whether it is the event that this id names.
    pub(crate) fn is_event(&self, event_id: &str) -> bool {
        let decoded = decode(self);
        let decoded = decoded.as_ref().ok().map(|change| change.stamp.event_id.as_str());
        self.event_id(decoded) == Some(event_id)
    }

    /// Whether the older producer wrote it: its records have none of our headers.
    pub fn is_older_format(&self) -> bool {
        let ours = [header::EVENT_ID, header::EVENT_TYPE, header::VERSION];
        !self.headers.iter().any(|(name, _)| ours.contains(&name))
    }
}

pub(crate) fn headers_of(message: &impl Message) -> RecordHeaders {
    let headers = message.headers();
    let headers = headers.iter().flat_map(|headers| headers.iter());
    headers.map(|header| (header.key, header.value)).collect()
}

#[cfg(test)]
pub(crate) mod sample {
    //! Records for the tests of the pure stages.

    use serde_json::{Value, json};
    use shared::Id;
    use shared::event::{Domain, header};

    use super::{Partition, Record, RecordHeaders};

    /// An event of a user that can be bent before it becomes a record.
    pub(crate) struct Sample {
        pub(crate) key: Option<Vec<u8>>,
        pub(crate) envelope: Value,
        older: bool,
    }

    pub(crate) fn ids() -> [Id; 4] {
        [3, 1, 4, 2].map(|n: u8| format!("{n:024x}").parse().unwrap())
    }

    fn moment(second: u8) -> String {
        format!("2026-01-01T00:00:{second:02}.000Z")
    }

    impl Sample {
        pub(crate) fn user(id: Id, version: u8) -> Self {
            let data = json!({
                "id": id, "version": version,
                "contact_info": {"primary_email": "a@example.com"},
                "profile": {"display_name": "A"},
                "created_at": moment(1), "updated_at": moment(version),
            });
            Self::event("user.updated", id, version, data)
        }

        pub(crate) fn deletion(id: Id, version: u8) -> Self {
            Self::event("user.deleted", id, version, json!({"user_id": id, "version": version}))
        }

        fn event(event_type: &str, id: Id, version: u8, data: Value) -> Self {
            Self {
                key: Some(id.to_string().into_bytes()),
                envelope: json!({
                    "event_type": event_type, "event_id": format!("event-{id}"),
                    "timestamp": moment(version), "entity_id": id, "data": data,
                }),
                older: false,
            }
        }

        pub(crate) fn at(mut self, second: u8) -> Self {
            self.envelope["timestamp"] = moment(second).into();
            self
        }

        /// As the older producer wrote it.
        pub(crate) fn older(mut self, second: u8) -> Self {
            self.older = true;
            self.at(second)
        }

        pub(crate) fn record(self) -> Record {
            let headers = match self.older {
                true => RecordHeaders::default(),
                false => [(header::EVENT_TYPE, None)].into_iter().collect(),
            };
            Record {
                partition: Partition { topic: "user".into(), partition: 0 },
                offset: 0,
                after: None,
                domain: Domain::User,
                key: self.key,
                value: Some(self.envelope.to_string().into_bytes()),
                headers,
            }
        }
    }
}

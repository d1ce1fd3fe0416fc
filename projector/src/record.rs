//! A Kafka record as it came: what a dead letter must give back untouched.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Headers, Message};
use shared::event::{Domain, header};

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name on this cluster, its prefix included.
    pub topic: Arc<str>,
    pub partition: i32,
}

pub type RecordHeaders = Vec<(String, Option<Vec<u8>>)>;

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub partition: Partition,
    pub offset: i64,
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
            partition: Partition {
                topic,
                partition: message.partition(),
            },
            offset: message.offset(),
            domain,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers_of(message),
        }
    }

    /// What the record takes of a batch's budget of bytes.
    pub fn bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(_, value)| value.as_ref().map_or(0, Vec::len))
            .sum();
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }

    /// Whether the older producer wrote it: its records have none of our headers.
    pub fn is_older_format(&self) -> bool {
        let ours = [header::EVENT_ID, header::EVENT_TYPE, header::VERSION];
        !self
            .headers
            .iter()
            .any(|(name, _)| ours.contains(&name.as_str()))
    }
}

pub(crate) fn headers_of(message: &impl Message) -> RecordHeaders {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    headers
        .iter()
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect()
}

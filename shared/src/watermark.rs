//! How far one shard of the relay has come, and the projector behind it: a document a
//! shard, which the leading relay writes now and then, never once per event.
//!
//! Every field that reaches `through` something is a fact that stays one: an older
//! document says less, but nothing wrong. So whoever reads it needs no lock and no clock.

use bson::{Document, RawDocument, Timestamp as ClusterTime};
use serde::{Deserialize, Serialize};

use crate::{Shard, Timestamp};

/// The collection, in the database of the outbox.
pub const COLLECTION: &str = "watermarks";

/// Names of the document's fields in MongoDB.
pub mod field {
    pub const SHARD: &str = "_id";
    pub const PUBLISHED_THROUGH: &str = "published_through";
    pub const APPLIED_THROUGH: &str = "applied_through";
}

/// The document. What is `None` is not known, which is no zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    /// `i/n`, as in the shard's checkpoint. Documents of a former division may be left:
    /// what they say is true of their time.
    #[serde(rename = "_id")]
    pub shard: String,
    /// When it was written, by the relay's clock. While nothing changes that is every 10 s;
    /// an older one comes from a relay that does not run, or cannot write.
    pub at: Timestamp,
    /// The newest moment, by MongoDB's clock or the relay's, for which it is proven that
    /// everything committed before it is in Kafka: `at - proven_at` is the relay's lag then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Timestamp>,
    /// MongoDB's logical clock: all of this shard's events that were committed up to it,
    /// itself included, are acknowledged by Kafka (or lie in `outbox_dead`).
    pub published_through: ClusterTime,
    /// All of this shard's events that were committed up to it were dealt with by the
    /// projector: applied, or put into the dead-letter topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_through: Option<ClusterTime>,
    /// Every partition of the five topics, in the order of topic and partition.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// Records in the dead-letter topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<i64>,
}

/// One partition as this shard's relay sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The topic's name on the cluster, its prefix included.
    pub topic: String,
    pub partition: i32,
    /// The offset after the last event that this shard put there, and after all that were
    /// there when it began to lead. The markers of transactions behind it do not count.
    pub end: i64,
    /// The offset that the projector's group has committed: before it all is dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<i64>,
}

impl Partition {
    /// How many offsets the projector is behind: no more events than that, since the
    /// markers of transactions have offsets, too. `None` where it never committed one.
    pub fn behind(&self) -> Option<u64> {
        match self.applied {
            None if self.end == 0 => Some(0),
            None => None,
            Some(applied) => Some(u64::try_from(self.end - applied).unwrap_or(0)),
        }
    }
}

/// A document that somebody else damaged, or of a later version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable watermark: {0}")]
pub struct Unreadable(String);

impl Watermark {
    /// The document as MongoDB stores it.
    ///
    /// # Errors
    /// Never in practice: all fields are BSON types.
    pub fn to_bson(&self) -> Result<Document, Unreadable> {
        // By way of raw BSON: the other way would make text of the dates.
        let raw = bson::serialize_to_raw_document_buf(self);
        raw.and_then(Document::try_from).map_err(|error| Unreadable(error.to_string()))
    }

    /// # Errors
    /// [`Unreadable`], naming the field.
    pub fn parse(stored: &RawDocument) -> Result<Self, Unreadable> {
        bson::deserialize_from_slice(stored.as_bytes())
            .map_err(|error| Unreadable(error.to_string()))
    }

    /// Whether it speaks of the entity's events.
    pub fn concerns(&self, entity_id: &str) -> bool {
        self.shard.parse::<Shard>().is_ok_and(|shard| shard.owns(entity_id))
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, doc};

    use super::*;

    fn parse(stored: &Document) -> Result<Watermark, Unreadable> {
        Watermark::parse(&RawDocumentBuf::try_from(stored).unwrap())
    }

    fn watermark() -> Watermark {
        let partition = |partition, end, applied| Partition {
            topic: "test.user".to_owned(),
            partition,
            end,
            applied,
        };
        Watermark {
            shard: "1/2".to_owned(),
            at: Timestamp::now(),
            proven_at: Some(Timestamp::now()),
            published_through: ClusterTime { time: 1_700_000_000, increment: 7 },
            applied_through: Some(ClusterTime { time: 1_700_000_000, increment: 3 }),
            partitions: vec![partition(0, 0, None), partition(1, 12, Some(9))],
            dead_letters: Some(0),
        }
    }

    #[test]
    fn survives_bson() {
        let known = watermark();
        let unknown = Watermark {
            proven_at: None,
            applied_through: None,
            partitions: Vec::new(),
            dead_letters: None,
            ..watermark()
        };
        for written in [known, unknown] {
            assert_eq!(parse(&written.to_bson().unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn is_stored_in_bsons_own_types() {
        let stored = watermark().to_bson().unwrap();
        assert_eq!(stored.get_str(field::SHARD).unwrap(), "1/2");
        assert!(stored.get_datetime("at").is_ok() && stored.get_datetime("proven_at").is_ok());
        assert!(stored.get_timestamp(field::PUBLISHED_THROUGH).is_ok());
        assert!(stored.get_timestamp(field::APPLIED_THROUGH).is_ok());
        let first = stored.get_array("partitions").unwrap()[0].as_document().unwrap();
        assert_eq!(first, &doc! { "topic": "test.user", "partition": 0, "end": 0_i64 });
    }

    #[test]
    fn what_is_damaged_is_refused_and_what_is_new_is_passed_over() {
        let mut stored = watermark().to_bson().unwrap();
        stored.insert("later", "field");
        assert_eq!(parse(&stored).unwrap(), watermark_at(&stored));
        stored.remove(field::PUBLISHED_THROUGH);
        let error = parse(&stored).unwrap_err().to_string();
        assert!(error.contains(field::PUBLISHED_THROUGH), "{error}");
    }

    /// The example, as of the moment that is stored.
    fn watermark_at(stored: &Document) -> Watermark {
        let moment = |key| {
            Timestamp::from_millis(stored.get_datetime(key).unwrap().timestamp_millis()).unwrap()
        };
        Watermark { at: moment("at"), proven_at: Some(moment("proven_at")), ..watermark() }
    }

    #[test]
    fn only_its_own_entities_concern_it() {
        assert!(watermark().concerns("65a1b2c3d4e5f60718293041"));
        assert!(!watermark().concerns("65a1b2c3d4e5f60718293042"));
        assert!(!Watermark { shard: "?".to_owned(), ..watermark() }.concerns("65a1"));
    }

    #[test]
    fn a_partition_that_nobody_has_read_is_behind_by_an_unknown_number() {
        let behind = |end, applied| {
            Partition { topic: "user".to_owned(), partition: 0, end, applied }.behind()
        };
        assert_eq!(behind(12, Some(9)), Some(3));
        assert_eq!(behind(12, Some(14)), Some(0), "beyond the markers");
        assert_eq!(behind(12, None), None);
        assert_eq!(behind(0, None), Some(0));
    }
}

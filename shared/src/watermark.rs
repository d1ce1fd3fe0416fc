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
    pub const AT: &str = "at";
    pub const OBSTACLE: &str = "obstacle";
    pub const LOST: &str = "lost";
    pub const NOTICED_AT: &str = "noticed_at";
    pub const REASON: &str = "reason";
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
    /// Records in the dead-letter topic; [`COUNTED_LETTERS`] means so many or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<i64>,
    /// What keeps the relay that leads this shard from publishing, while something does:
    /// then only `at` and this are of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// Records that were deleted from the topics before the projector had read them. The
    /// newest losses, at most [`MOST_LOSSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Loss>,
    /// What this relay sees of the projector. `None` from an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupReport>,
}

/// A count of dead letters ends here: it means "so many or more".
pub const COUNTED_LETTERS: i64 = 10_000;

/// The projector's consumer group. All moments are by the relay's clock, and none is from
/// before it began to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Instances of the projector that Kafka knows; `None` where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u32>,
    /// Since when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Timestamp>,
    /// Since when something that is published is not known to be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// When the group's committed offsets last moved, or were first looked at.
    pub moved_at: Timestamp,
}

/// The `published_through` of a shard that has never published: before all moments. (MongoDB
/// would put its own clock in the place of zero.)
pub const NOTHING: ClusterTime = ClusterTime { time: 0, increment: 1 };

/// More losses than these are joined: see [`Loss`].
pub const MOST_LOSSES: usize = 32;

/// A server that the relay cannot use, or that does not let it go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// `kafka`.
    pub server: String,
    /// For people: it names the server's answer, or the topic, partition and offset.
    pub reason: String,
    /// By the relay's clock.
    pub since: Timestamp,
}

/// Offsets of a partition that the projector never got to read. An event of this topic
/// that was committed after `after` and no later than `through` may be among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The topic's name on the cluster, its prefix included.
    pub topic: String,
    pub partition: i32,
    pub from_offset: i64,
    /// The first offset behind it.
    pub to_offset: i64,
    /// Everything committed up to then was applied before. `None` where nothing is known to
    /// have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ClusterTime>,
    /// Everything that was lost was committed by then.
    pub through: ClusterTime,
}

/// MongoDB lacks what the topics hold: it was put back to an earlier state. A document
/// beside the watermarks, from the moment a relay notices until `outboxctl verify --repair`
/// has brought the documents' versions above those that readers have seen.
///
/// Until then readers drop the new versions of what they have seen, so nothing but an
/// entity's first version is known to be applied, whatever a watermark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewound {
    /// Always [`REWOUND`].
    #[serde(rename = "_id")]
    pub id: String,
    /// When it was noticed, by the relay's clock; the last time, if it happened again.
    pub noticed_at: Timestamp,
    /// How it was noticed, for people.
    pub reason: String,
}

/// The `_id` of [`Rewound`], which is no shard's name.
pub const REWOUND: &str = "rewound";

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

    /// Whether a document of the collection is the [`Rewound`] one, and no watermark.
    pub fn is_rewound(stored: &RawDocument) -> bool {
        stored.get_str(field::SHARD).is_ok_and(|id| id == REWOUND)
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
            obstacle: Some(Obstacle {
                server: "kafka".to_owned(),
                reason: "no broker answers".to_owned(),
                since: Timestamp::now(),
            }),
            lost: vec![Loss {
                topic: "test.user".to_owned(),
                partition: 1,
                from_offset: 7,
                to_offset: 9,
                after: None,
                through: ClusterTime { time: 1_700_000_000, increment: 5 },
            }],
            group: Some(GroupReport {
                members: Some(2),
                absent_since: None,
                behind_since: None,
                moved_at: Timestamp::from_millis(1_700_000_000_000).unwrap(),
            }),
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
            obstacle: None,
            lost: Vec::new(),
            group: None,
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
        let obstacle = stored.get_document(field::OBSTACLE).unwrap();
        let since = obstacle.get_datetime("since").unwrap().timestamp_millis();
        let since = Timestamp::from_millis(since).unwrap();
        let known = watermark();
        Watermark {
            at: moment("at"),
            proven_at: Some(moment("proven_at")),
            obstacle: known.obstacle.map(|obstacle| Obstacle { since, ..obstacle }),
            ..watermark()
        }
    }

    #[test]
    fn that_mongodb_went_back_is_no_watermark() {
        let rewound = Rewound {
            id: REWOUND.to_owned(),
            noticed_at: Timestamp::now(),
            reason: "the lease counts 3 renewals, the checkpoint 7".to_owned(),
        };
        let stored = bson::serialize_to_raw_document_buf(&rewound).unwrap();
        assert!(stored.get_datetime(field::NOTICED_AT).is_ok());
        assert!(Watermark::is_rewound(&stored) && Watermark::parse(&stored).is_err());
        let read: Rewound = bson::deserialize_from_slice(stored.as_bytes()).unwrap();
        assert_eq!(read, rewound);
        let watermark = RawDocumentBuf::try_from(&watermark().to_bson().unwrap()).unwrap();
        assert!(!Watermark::is_rewound(&watermark));
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

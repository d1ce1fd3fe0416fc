//! The checkpoint: how far the relay has come, written in the same Kafka
//! transaction as the events it speaks of. What was published in transactions after it is
//! read back from the topics (`read_back.rs`): so nothing is published twice, and a lone
//! event need not wait for a second record.
//!
//! It lives in a compacted topic, one partition a shard. Whoever holds the shard's
//! transactional.id has fenced all earlier writers of that partition, so the
//! newest committed record there is the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::Uuid;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use shared::process::Shutdown;
use shared::{Shard, Timestamp};

use crate::kafka::Watch;
use crate::landing::{Ends, EndsByTopic};
use crate::position::{ClusterTime, Position};
use crate::read_to_end::{NotRead, read_to_end};

/// The newest record of a shard; see the module's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// `i/n`: also the record's key.
    pub shard: String,
    /// How often the outbox was divided anew before; see layout.rs.
    #[serde(default)]
    pub division: u64,
    /// Written by a clean stop with nothing left to publish.
    #[serde(default)]
    pub drained: bool,
    pub source: Source,
    pub progress: Progress,
    /// All that was committed to the outbox before this moment is in the topics.
    /// Unknown while recovering from a lost position.
    pub proven_at: Option<Timestamp>,
    pub written_at: Timestamp,
    pub counters: Counters,
    /// Whatever this shard published of what was committed after the position lies at or
    /// behind these offsets, or in a partition that is not named. `None` in the checkpoints
    /// of earlier versions, which wrote one in each transaction: then there is nothing.
    #[serde(default)]
    pub ends: Option<EndsByTopic>,
    /// How many renewals of the lease a majority of MongoDB held when it was written: see
    /// `history.rs`. `None` in the checkpoints of earlier versions.
    #[serde(default)]
    pub renewals: Option<u64>,
}

/// Which outbox the position belongs to. A collection that was dropped and made
/// again, or restored from a dump, has another id, and old tokens mean nothing in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub database: String,
    pub outbox: Uuid,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// Everything up to and including the position is published.
    At(Position),
    /// A sweep of the outbox is under way. If it is interrupted it starts again from
    /// the beginning: what is already in the topics is read back from them.
    Recovering { reason: String },
}

impl Progress {
    /// When the last event up to which everything is published was committed; `None`
    /// while no position holds.
    pub fn time(&self) -> Option<ClusterTime> {
        match self {
            Self::At(position) => Some(position.time),
            Self::Recovering { .. } => None,
        }
    }
}

/// Sums since the first checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub published: u64,
    pub dead: u64,
    /// Always 0, for earlier versions, which cannot read a checkpoint without it.
    #[serde(default)]
    pub retained: u64,
}

/// A record in the checkpoint topic that is none, or of a later version.
#[derive(Debug, thiserror::Error)]
#[error("unreadable checkpoint: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

impl Checkpoint {
    /// # Errors
    /// Never in practice: the token is a plain document.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// Reads a record of the checkpoint topic.
///
/// # Errors
/// [`Unreadable`] where the bytes are no checkpoint.
pub fn decode(value: &[u8]) -> Result<Checkpoint, Unreadable> {
    Ok(serde_json::from_slice(value)?)
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

const CALL: Duration = Duration::from_secs(5);
/// How many records before a partition's end are looked at first. Compaction lags
/// behind, so reading all would make a start slower the busier the relay was.
const LOOK_BACK: i64 = 64;

/// The newest committed checkpoint of each shard, of this division and of former ones.
/// Blocks.
///
/// Call it only after `init_transactions`: that decides the shard's open transactions,
/// so that what is read of it here can no longer change.
///
/// # Errors
/// [`ReadError`]; all but `Unreadable` pass with time.
pub fn read_newest(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    shard: Shard,
    stop: &Shutdown,
) -> Result<Vec<Checkpoint>, ReadError> {
    let mut newest = BTreeMap::new();
    let mut recent = TopicPartitionList::new();
    let mut all = TopicPartitionList::new();
    for partition in 0..i32::try_from(Shard::MAX).unwrap_or(1) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, CALL)?;
        if low < high {
            let start = low.max(high - LOOK_BACK);
            recent.add_partition_offset(topic, partition, Offset::Offset(start))?;
            all.add_partition_offset(topic, partition, Offset::Offset(low))?;
        }
    }
    let read = |newest: &mut BTreeMap<_, _>, from: &TopicPartitionList| {
        read_to_end(consumer, topic, from, &Ends::new(), stop, |record| {
            let checkpoint = decode(record.payload().unwrap_or_default())?;
            newest.insert(checkpoint.shard.clone(), checkpoint);
            Ok::<(), ReadError>(())
        })
    };
    read(&mut newest, &recent)?;
    // The usual case: this shard goes on, and no other division is about.
    let usual = |found: &Checkpoint| found.shard.ends_with(&format!("/{}", shard.count()));
    if !newest.contains_key(&shard.to_string()) || !newest.values().all(usual) {
        newest.clear();
        read(&mut newest, &all)?;
    }
    Ok(newest.into_values().collect())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn checkpoint(progress: Progress) -> Checkpoint {
        Checkpoint {
            shard: "0/1".to_owned(),
            division: 3,
            drained: true,
            source: Source { database: "shop".to_owned(), outbox: Uuid::new() },
            progress,
            proven_at: Some(Timestamp::now()),
            written_at: Timestamp::now(),
            counters: Counters { published: 7, dead: 1, retained: 0 },
            ends: Some([("post".to_owned(), [(3, 17)].into())].into()),
            renewals: Some(4_711),
        }
    }

    #[test]
    fn survives_its_encoding() {
        let type_bits =
            bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0, 255, 3] };
        let token = doc! { "_data": "8265A1B2C30000000D2B0229296E04", "_typeBits": type_bits };
        for progress in [
            Progress::At(Position::of(token.clone()).unwrap()),
            Progress::Recovering { reason: "token_lost".to_owned() },
        ] {
            let written = checkpoint(progress);
            assert_eq!(decode(&written.encode().unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_an_error_and_not_a_fresh_start() {
        for value in [&b""[..], b"{}", b"null", b"{\"shard\":\"0/1\"}"] {
            assert!(decode(value).is_err(), "{value:?}");
        }
    }
}

//! How many records lie in a topic, and how many of them a group has still to read.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;
use shared::event::Domain;
use shared::process::KafkaSettings;

use crate::servers::{self, PATIENCE};
use crate::table::grouped;

/// Records between two offsets. Offsets alone cannot tell: transactions leave
/// markers among them. So the records are read, unless that would take long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Records {
    pub records: u64,
    /// False: there are at most so many.
    pub exact: bool,
}

/// More than this is not read, only subtracted.
const READABLE: i64 = 50_000;
/// Nor is it read for longer than this.
const READING: Duration = Duration::from_secs(3);

/// Looks at topics for a group without joining it. Its methods block.
pub struct Offsets {
    consumer: BaseConsumer,
    metadata: Metadata,
    /// Reading ends then, whatever is counted.
    read_until: Option<Instant>,
}

/// A partition from one offset to another, the second excluded.
#[derive(Debug, Clone)]
pub struct Range {
    pub topic: String,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// What the topics of all domains hold now. Blocks, as all of this file.
///
/// # Errors
/// If the brokers do not answer.
pub fn held(settings: &KafkaSettings, group: &str) -> KafkaResult<Vec<Range>> {
    let offsets = Offsets::open(settings, group)?;
    let mut held = Vec::new();
    for domain in Domain::ALL {
        held.extend(offsets.ranges(&settings.topic(domain.topic()))?);
    }
    Ok(held)
}

/// How many records of `ranges`, sorted by topic, the group has still to read.
///
/// # Errors
/// If the brokers do not answer.
pub fn left(settings: &KafkaSettings, group: &str, ranges: &[Range]) -> KafkaResult<u64> {
    let offsets = Offsets::open(settings, group)?;
    let mut left = 0;
    for of_one_topic in ranges.chunk_by(|one, other| one.topic == other.topic) {
        left += offsets.unread(of_one_topic.to_vec())?.records;
    }
    Ok(left)
}

impl Offsets {
    /// # Errors
    /// Here as below: where the brokers do not answer.
    pub fn open(settings: &KafkaSettings, group: &str) -> KafkaResult<Self> {
        let consumer: BaseConsumer = servers::kafka(settings)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // A broker answers a connection's requests in turn: whatever is asked
            // while a fetch waits for more records waits with it.
            .set("fetch.wait.max.ms", "5")
            .create()?;
        let metadata = consumer.fetch_metadata(None, PATIENCE)?;
        Ok(Self { consumer, metadata, read_until: None })
    }

    /// For all counts together: those that come later are only subtracted.
    pub fn reading_for(self, time: Duration) -> Self {
        Self { read_until: Some(Instant::now() + time), ..self }
    }

    /// All committed records of a topic; nothing where it does not exist.
    pub fn records(&self, topic: &str) -> KafkaResult<Option<Records>> {
        let ranges = self.ranges(topic)?;
        if ranges.is_empty() {
            return Ok(None);
        }
        self.count(&ranges).map(Some)
    }

    /// Those that the group has not committed yet; nothing where there is no such topic.
    pub fn lag(&self, topic: &str) -> KafkaResult<Option<Records>> {
        let ranges = self.ranges(topic)?;
        if ranges.is_empty() {
            return Ok(None);
        }
        self.unread(ranges).map(Some)
    }

    /// Those in `ranges`, all of one topic, that the group has not committed yet.
    pub fn unread(&self, mut ranges: Vec<Range>) -> KafkaResult<Records> {
        let mut wanted = TopicPartitionList::new();
        for range in &ranges {
            wanted.add_partition(&range.topic, range.partition);
        }
        let committed = self.consumer.committed_offsets(wanted, PATIENCE)?;
        for range in &mut ranges {
            let partition = committed.find_partition(&range.topic, range.partition);
            if let Some(Offset::Offset(offset)) = partition.map(|it| it.offset()) {
                range.from = offset.max(range.from);
            }
        }
        self.count(&ranges)
    }

    fn ranges(&self, topic: &str) -> KafkaResult<Vec<Range>> {
        let topics = self.metadata.topics().iter();
        topics
            .filter(|it| it.name() == topic)
            .flat_map(|it| it.partitions())
            .map(|partition| {
                let partition = partition.id();
                let (from, to) = self.consumer.fetch_watermarks(topic, partition, PATIENCE)?;
                Ok(Range { topic: topic.to_owned(), partition, from, to })
            })
            .collect()
    }

    fn count(&self, ranges: &[Range]) -> KafkaResult<Records> {
        let span: i64 = ranges.iter().map(|range| (range.to - range.from).max(0)).sum();
        let read = match span {
            0 => Some(0),
            1..=READABLE => self.read(ranges)?,
            _ => None,
        };
        Ok(Records { records: read.unwrap_or(span.unsigned_abs()), exact: read.is_some() })
    }

    /// Reads each range to its end; nothing where that takes too long.
    fn read(&self, ranges: &[Range]) -> KafkaResult<Option<u64>> {
        let mut assignment = TopicPartitionList::new();
        for range in ranges.iter().filter(|range| range.from < range.to) {
            let from = Offset::Offset(range.from);
            assignment.add_partition_offset(&range.topic, range.partition, from)?;
        }
        self.consumer.assign(&assignment)?;
        let unread = ranges.iter().filter(|range| range.from < range.to);
        let records = self.drain(unread.map(|range| (range.partition, range.to)).collect());
        self.consumer.unassign()?;
        records
    }

    /// Reads each partition up to its offset. Where others write meanwhile, its end would
    /// never be reached.
    fn drain(&self, mut unread: BTreeMap<i32, i64>) -> KafkaResult<Option<u64>> {
        let deadline = Instant::now() + READING;
        let deadline = self.read_until.map_or(deadline, |until| until.min(deadline));
        let mut records = 0;
        while !unread.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(record)) => {
                    let Some(to) = unread.get(&record.partition()).copied() else {
                        continue;
                    };
                    records += u64::from(record.offset() < to);
                    if record.offset() + 1 >= to {
                        unread.remove(&record.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(None),
            }
        }
        Ok(Some(records))
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_most = if self.exact { "" } else { "≤ " };
        write!(f, "{at_most}{}", grouped(self.records))
    }
}

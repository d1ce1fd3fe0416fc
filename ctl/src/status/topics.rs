use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use projector::dead_letter;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;
use shared::event::Domain;
use shared::process::KafkaSettings;

use crate::servers::{self, PATIENCE};

/// Records between two offsets. Offsets alone cannot tell: transactions leave
/// markers among them. So the records are read, unless that would take long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Records {
    pub records: u64,
    /// False: there are at most so many.
    pub exact: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Topic {
    pub events: Records,
    /// Events that the consumer group has not committed yet.
    pub consumer_lag: Records,
}

#[derive(Debug)]
pub struct Topics {
    /// Only those that exist.
    pub domains: BTreeMap<Domain, Topic>,
    pub dead_letters: Option<Records>,
}

/// More than this is not read, only subtracted.
const READABLE: i64 = 50_000;
/// Nor is it read for longer than this.
const READING: Duration = Duration::from_secs(3);

/// Blocks for some seconds.
///
/// # Errors
/// Where the brokers do not answer.
pub fn read(settings: &KafkaSettings, group: &str) -> KafkaResult<Topics> {
    let consumer: BaseConsumer = servers::kafka(settings)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    let mut domains = BTreeMap::new();
    for domain in Domain::ALL {
        let ranges = ranges(&consumer, &metadata, &settings.topic(domain.topic()))?;
        if !ranges.is_empty() {
            domains.insert(domain, topic(&consumer, ranges)?);
        }
    }
    let dead = ranges(&consumer, &metadata, &settings.topic(dead_letter::TOPIC))?;
    let dead_letters = match dead.is_empty() {
        true => None,
        false => Some(count(&consumer, &dead)?),
    };
    Ok(Topics {
        domains,
        dead_letters,
    })
}

/// A partition from one offset to another, the second excluded.
#[derive(Debug, Clone)]
struct Range {
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
}

fn ranges(consumer: &BaseConsumer, metadata: &Metadata, topic: &str) -> KafkaResult<Vec<Range>> {
    let partitions = metadata.topics().iter().filter(|it| it.name() == topic);
    partitions
        .flat_map(|it| it.partitions())
        .map(|partition| {
            let partition = partition.id();
            let (from, to) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            Ok(Range {
                topic: topic.to_owned(),
                partition,
                from,
                to,
            })
        })
        .collect()
}

fn topic(consumer: &BaseConsumer, all: Vec<Range>) -> KafkaResult<Topic> {
    let mut wanted = TopicPartitionList::new();
    for range in &all {
        wanted.add_partition(&range.topic, range.partition);
    }
    let committed = consumer.committed_offsets(wanted, PATIENCE)?;
    let unread: Vec<Range> = all
        .iter()
        .map(|range| {
            let partition = committed.find_partition(&range.topic, range.partition);
            let from = match partition.map(|it| it.offset()) {
                Some(Offset::Offset(offset)) => offset.max(range.from),
                _ => range.from,
            };
            Range {
                from,
                ..range.clone()
            }
        })
        .collect();
    Ok(Topic {
        events: count(consumer, &all)?,
        consumer_lag: count(consumer, &unread)?,
    })
}

fn count(consumer: &BaseConsumer, ranges: &[Range]) -> KafkaResult<Records> {
    let span: i64 = ranges
        .iter()
        .map(|range| (range.to - range.from).max(0))
        .sum();
    let read = match span {
        0 => Some(0),
        1..=READABLE => read_all(consumer, ranges)?,
        _ => None,
    };
    Ok(Records {
        records: read.unwrap_or(span.unsigned_abs()),
        exact: read.is_some(),
    })
}

/// Reads each range to its end; nothing where that takes too long.
fn read_all(consumer: &BaseConsumer, ranges: &[Range]) -> KafkaResult<Option<u64>> {
    let mut assignment = TopicPartitionList::new();
    let unfinished = ranges.iter().filter(|range| range.from < range.to);
    for range in unfinished {
        let from = Offset::Offset(range.from);
        assignment.add_partition_offset(&range.topic, range.partition, from)?;
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + READING;
    let (mut records, mut ended) = (0, 0);
    while ended < assignment.count() {
        match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(_)) => records += 1,
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error),
            None => return Ok(None),
        }
    }
    Ok(Some(records))
}

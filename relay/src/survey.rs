//! Where the last event of each partition lies, for a relay that has just begun to lead:
//! of what it sends itself it learns that from the brokers.
//!
//! A partition's end does not tell. Behind the last event lie the marker of its
//! transaction, and perhaps those of aborted ones; a reader never gets to see them, so
//! that the offset which it commits stays before them.

use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::Shutdown;

use crate::kafka::Watch;
use crate::landing::{Ends, Place};
use crate::read_to_end::{NotRead, read_to_end};

/// Offsets before the end that are looked at first, and by how much more each next time.
const LOOK_BACK: i64 = 16;
const FURTHER: i64 = 16;
const CALL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Somebody's transaction is open, and hides what lies behind its first record.
    #[error("{0} is not decided up to its end yet")]
    Undecided(String),
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

/// For each partition of `topics` the offset after its last event; 0 where there is none.
/// Blocks. Whatever was acknowledged before the call lies before these.
///
/// # Errors
/// [`SurveyError`]; all of them pass with time.
pub fn survey(
    settings: &ClientConfig,
    watch: &Watch,
    topics: &[String],
    stop: &Shutdown,
) -> Result<Ends, SurveyError> {
    let mut uncommitted = settings.clone();
    uncommitted.set("isolation.level", "read_uncommitted");
    let uncommitted = BaseConsumer::from_config_and_context(&uncommitted, watch.clone())?;
    let committed = BaseConsumer::from_config_and_context(settings, watch.clone())?;
    let mut found = Ends::new();
    for topic in topics {
        let mut unknown = ranges(&committed, &uncommitted, topic)?;
        for Range { partition, .. } in unknown.extract_if(.., |range| range.low == range.end) {
            found.insert(Place { topic: topic.clone(), partition }, 0);
        }
        let mut back = LOOK_BACK;
        while !unknown.is_empty() {
            let last = last_records(&committed, topic, &unknown, back, stop)?;
            unknown.retain(|range| {
                let last = last.iter().find(|(partition, _)| *partition == range.partition);
                // Looked at as a whole, and nothing but markers in it.
                let end =
                    last.map(|(_, end)| *end).or((range.end - back <= range.low).then_some(0));
                if let Some(end) = end {
                    found.insert(Place { topic: topic.clone(), partition: range.partition }, end);
                }
                end.is_none()
            });
            back = back.saturating_mul(FURTHER);
        }
    }
    Ok(found)
}

struct Range {
    partition: i32,
    low: i64,
    end: i64,
}

fn ranges(
    committed: &BaseConsumer<Watch>,
    uncommitted: &BaseConsumer<Watch>,
    topic: &str,
) -> Result<Vec<Range>, SurveyError> {
    let metadata = committed.fetch_metadata(Some(topic), CALL)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions
        .map(|partition| {
            let partition = partition.id();
            let (low, end) = uncommitted.fetch_watermarks(topic, partition, CALL)?;
            let (_, decided) = committed.fetch_watermarks(topic, partition, CALL)?;
            match decided < end {
                true => Err(SurveyError::Undecided(topic.to_owned())),
                false => Ok(Range { partition, low, end }),
            }
        })
        .collect()
}

/// The offset after the last record among the `back` offsets before each end, where there
/// is one.
fn last_records(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    ranges: &[Range],
    back: i64,
    stop: &Shutdown,
) -> Result<Vec<(i32, i64)>, SurveyError> {
    let mut assignment = TopicPartitionList::new();
    for range in ranges {
        let from = Offset::Offset((range.end - back).max(range.low));
        assignment.add_partition_offset(topic, range.partition, from)?;
    }
    let mut last: Vec<(i32, i64)> = Vec::new();
    read_to_end(consumer, topic, &assignment, stop, |record| {
        last.retain(|(partition, _)| *partition != record.partition());
        last.push((record.partition(), record.offset() + 1));
        Ok::<(), NotRead>(())
    })?;
    Ok(last)
}

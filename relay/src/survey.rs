//! Where the last event of each partition lies, for a relay that has just begun to lead:
//! of what it sends itself it learns that from the brokers.
//!
//! A partition's end does not tell. Behind the last event lie the marker of its
//! transaction, and perhaps those of aborted ones; a reader never gets to see them, so
//! that the offset which it commits stays before them.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::Shutdown;

use crate::ends::EndReader;
use crate::kafka::Watch;
use crate::landing::{Ends, Place};
use crate::read_to_end::{NotRead, read_to_end};

/// Offsets before the end that are looked at first, and by how much more each next time.
const LOOK_BACK: i64 = 16;
const FURTHER: i64 = 16;

/// For each partition of `topics` the offset after its last event; 0 where there is none.
/// Blocks. Whatever was acknowledged before the call lies before these.
///
/// # Errors
/// [`NotRead`]; all of them pass with time.
pub fn survey(
    settings: &ClientConfig,
    watch: &Watch,
    topics: &[String],
    stop: &Shutdown,
) -> Result<Ends, NotRead> {
    let reader = EndReader::new(settings, watch, topics)?;
    let ends = reader.await_decided(stop)?;
    let begin = reader.begin()?;
    let mut found = Ends::new();
    for topic in topics {
        let of_topic = ends.iter().filter(|(place, _)| place.topic == *topic);
        let range = |(place, end): (&Place, &i64)| {
            let low = begin.get(place).copied().unwrap_or(0);
            Range { partition: place.partition, low, end: *end }
        };
        let mut unknown: Vec<Range> = of_topic.map(range).collect();
        for Range { partition, .. } in unknown.extract_if(.., |range| range.low >= range.end) {
            found.insert(Place { topic: topic.clone(), partition }, 0);
        }
        let mut back = LOOK_BACK;
        while !unknown.is_empty() {
            let last = last_records(reader.committed(), topic, &unknown, back, stop)?;
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

/// The offset after the last record among the `back` offsets before each end, where there
/// is one.
fn last_records(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    ranges: &[Range],
    back: i64,
    stop: &Shutdown,
) -> Result<Vec<(i32, i64)>, NotRead> {
    let mut assignment = TopicPartitionList::new();
    for range in ranges {
        let from = Offset::Offset((range.end - back).max(range.low));
        assignment.add_partition_offset(topic, range.partition, from)?;
    }
    let mut last: Vec<(i32, i64)> = Vec::new();
    read_to_end(consumer, topic, &assignment, &Ends::new(), stop, |record| {
        last.retain(|(partition, _)| *partition != record.partition());
        last.push((record.partition(), record.offset() + 1));
        Ok::<(), NotRead>(())
    })?;
    Ok(last)
}

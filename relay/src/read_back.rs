//! Reads back from the topics which events they already hold.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::Shard;
use shared::event::header;
use uuid::Uuid;

use crate::Relay;
use crate::ends::EndReader;
use crate::kafka::{Watch, blocking, reader_config};
use crate::landing::{Ends, EndsByTopic, Place};
use crate::published::EventIds;
use crate::read_to_end::{NotRead, read_to_end};
use crate::session::Ended;

/// How far the clocks of the API's machines and of the relay's may be apart: records
/// are found by the relay's clock, the oldest event's age is told by the writer's.
const SKEW_MILLIS: i64 = 2 * 60 * 60 * 1000;
const CALL: Duration = Duration::from_secs(5);

/// What the topics hold as a session begins.
pub struct Held {
    pub ids: EventIds,
    /// The end of each partition.
    pub ends: Ends,
}

/// Where a topic is to be read from.
#[derive(Clone)]
enum Since {
    /// The records since this moment, in milliseconds.
    Moment(i64),
    /// Each partition from here on; all of it where it is not named.
    Ends(EndsByTopic),
    /// Nothing of it.
    End,
}

/// The ids of the events in the topics that were published since `oldest` occurred, in
/// milliseconds since 1970.
/// Older-format records carry no headers, hence no id, and are passed over.
///
/// Call it only after `init_transactions`: then no open transaction of ours is left.
/// Those of others are waited for.
///
/// # Errors
/// Where Kafka is away.
pub async fn since_moment(relay: &Relay, oldest: Option<i64>) -> Result<Held, Ended> {
    let moment = |oldest: i64| Since::Moment(oldest.saturating_sub(SKEW_MILLIS).max(0));
    read(relay, oldest.map_or(Since::End, moment)).await
}

/// The same for what was published after a checkpoint with these [`Checkpoint::ends`].
///
/// # Errors
/// Where Kafka is away.
///
/// [`Checkpoint::ends`]: crate::checkpoint::Checkpoint::ends
pub async fn since_checkpoint(relay: &Relay, ends: Option<EndsByTopic>) -> Result<Held, Ended> {
    read(relay, ends.map_or(Since::End, Since::Ends)).await
}

async fn read(relay: &Relay, since: Since) -> Result<Held, Ended> {
    let settings = reader_config(&relay.config);
    let watch = Watch(relay.kafka.clone());
    let topics: Vec<String> = relay.topics.events().map(str::to_owned).collect();
    let shard = relay.shard;
    let reading = blocking(&relay.shutdown, move |stop| {
        let reader = EndReader::new(&settings, &watch, &topics)?;
        let ends = reader.await_decided(stop)?;
        let consumer = reader.committed();
        let mut ids = Vec::new();
        for topic in &topics {
            let start = start_of(&since, consumer, topic, &ends)?;
            read_to_end(consumer, topic, &start, &ends, stop, |record| {
                ids.extend(event_id(record).filter(|_| is_of(shard, record)));
                Ok::<(), NotRead>(())
            })?;
        }
        Ok(Held { ids: EventIds::collect(ids), ends })
    });
    let held: Result<Held, NotRead> = reading.await.map_err(Ended::Panicked)?;
    Ok(held?)
}

/// Whether the record is of one of the shard's entities: what others publish need not be
/// remembered.
fn is_of(shard: Shard, record: &BorrowedMessage<'_>) -> bool {
    let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
    key.is_none_or(|entity_id| shard.owns(entity_id))
}

fn start_of(
    since: &Since,
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    ends: &Ends,
) -> Result<TopicPartitionList, KafkaError> {
    let mut start = TopicPartitionList::new();
    match since {
        Since::Moment(moment) => return offsets_since(consumer, topic, *moment),
        Since::End => {}
        Since::Ends(known) => {
            for (partition, from) in behind(known.get(topic), topic, ends) {
                start.add_partition_offset(topic, partition, from)?;
            }
        }
    }
    Ok(start)
}

/// Where to read each partition from that has grown since then. Pure.
fn behind(since: Option<&BTreeMap<i32, i64>>, topic: &str, ends: &Ends) -> Vec<(i32, Offset)> {
    let start = |(place, end): (&Place, &i64)| {
        let known = since.and_then(|since| since.get(&place.partition));
        match known {
            Some(known) if known == end => None,
            Some(known) if known < end => Some((place.partition, Offset::Offset(*known))),
            // A new one, or one that was made anew.
            _ => Some((place.partition, Offset::Beginning)),
        }
    };
    ends.iter().filter(|(place, _)| place.topic == topic).filter_map(start).collect()
}

/// Where in each partition the records since that moment begin.
fn offsets_since(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    since: i64,
) -> Result<TopicPartitionList, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
    let mut moments = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        moments.add_partition_offset(topic, partition.id(), Offset::Offset(since))?;
    }
    let found = consumer.offsets_for_times(moments, CALL)?;
    let mut start = TopicPartitionList::new();
    for element in found.elements() {
        start.add_partition_offset(topic, element.partition(), element.offset())?;
    }
    Ok(start)
}

fn event_id(record: &BorrowedMessage<'_>) -> Option<Uuid> {
    let mut headers = record.headers()?.iter();
    let id = headers.find(|header| header.key == header::EVENT_ID)?.value?;
    Uuid::try_parse_ascii(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_has_come_since_and_partitions_that_are_new() {
        let ends = [(0, 5), (1, 9), (2, 4), (3, 2)];
        let place = |partition| Place { topic: "post".to_owned(), partition };
        let ends = ends.map(|(partition, end)| (place(partition), end)).into();
        let since = [(0, 5), (1, 7), (2, 80)].into();
        let expected = [(1, Offset::Offset(7)), (2, Offset::Beginning), (3, Offset::Beginning)];
        assert_eq!(behind(Some(&since), "post", &ends), expected);
        assert_eq!(behind(None, "post", &ends).len(), 4);
    }
}

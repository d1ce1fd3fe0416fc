//! Reads back from the topics which events they already hold.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::Timestamp;
use shared::event::header;
use shared::process::Shutdown;
use uuid::Uuid;

use crate::Relay;
use crate::kafka::{Watch, reader_config};
use crate::published::EventIds;
use crate::read_to_end::{NotRead, read_to_end};
use crate::session::Ended;

/// How far the clocks of the API's machines and of the relay's may be apart: records
/// are found by the relay's clock, the oldest event's age is told by the writer's.
const SKEW_MILLIS: i64 = 2 * 60 * 60 * 1000;
const CALL: Duration = Duration::from_secs(5);

/// The ids of the events in the topics that were published since `oldest` occurred.
/// Older-format records carry no headers, hence no id, and are passed over.
///
/// Call it only after `init_transactions`: then no open transaction of ours is left.
/// Those of others are waited for.
///
/// # Errors
/// Where Kafka is away.
pub async fn event_ids(relay: &Relay, oldest: Option<Timestamp>) -> Result<EventIds, Ended> {
    let Some(oldest) = oldest else {
        return Ok(EventIds::default());
    };
    let settings = reader_config(&relay.config);
    let watch = Watch(relay.kafka.clone());
    let topics: Vec<String> = relay.topics.events().map(str::to_owned).collect();
    let stop = relay.shutdown.clone();
    let since = (oldest.millis() - SKEW_MILLIS).max(0);
    let reading = tokio::task::spawn_blocking(move || {
        let mut uncommitted = settings.clone();
        uncommitted.set("isolation.level", "read_uncommitted");
        let uncommitted = BaseConsumer::from_config_and_context(&uncommitted, watch.clone())?;
        let consumer = BaseConsumer::from_config_and_context(&settings, watch)?;
        let mut ids = Vec::new();
        for topic in &topics {
            await_decided(&consumer, &uncommitted, topic, &stop)?;
            read_topic(&consumer, topic, since, &stop, &mut ids)?;
        }
        Ok(EventIds::collect(ids))
    });
    let ids: Result<EventIds, NotRead> = reading.await.map_err(Ended::Panicked)?;
    Ok(ids?)
}

/// Waits until nothing that is in the topic now is hidden from us. A transaction that
/// somebody else (another shard) has open hides all records behind its first one, ours
/// included.
fn await_decided(
    committed: &BaseConsumer<Watch>,
    uncommitted: &BaseConsumer<Watch>,
    topic: &str,
    stop: &Shutdown,
) -> Result<(), NotRead> {
    let metadata = committed.fetch_metadata(Some(topic), CALL)?;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (_, end) = uncommitted.fetch_watermarks(topic, partition.id(), CALL)?;
        while committed.fetch_watermarks(topic, partition.id(), CALL)?.1 < end {
            if stop.is_cancelled() {
                return Err(NotRead::Stopped);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn read_topic(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    since: i64,
    stop: &Shutdown,
    ids: &mut Vec<Uuid>,
) -> Result<(), NotRead> {
    let start = offsets_since(consumer, topic, since)?;
    read_to_end(consumer, topic, &start, stop, |record| {
        ids.extend(event_id(record));
        Ok(())
    })
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

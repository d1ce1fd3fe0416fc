//! The record of an event, found by reading.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use projector::dead_letter::DeadLetter;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;
use shared::Timestamp;
use shared::event::{Domain, header, partition_of};
use shared::process::KafkaSettings;
use uuid::Uuid;

use super::outbox::Stored;
use super::report::Event;
use crate::dlq::Letters;
use crate::servers::{self, PATIENCE};

/// How far the clocks of the API's machines and of the relay's may be apart: records are
/// found by the relay's clock, events are dated by the API's.
const SKEW_MILLIS: i64 = 2 * 60 * 60 * 1000;
/// Without any progress for so long, something is wrong with the cluster.
const STUCK: Duration = Duration::from_secs(30);

/// Where a record lies, by the topic's name on the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub place: Place,
    pub event: Event,
    /// When the relay handed it to Kafka, by the relay's clock.
    pub at: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("no progress in {STUCK:?} reading {0}")]
    Stuck(String),
}

/// Blocks. `stored` tells where to look; without it all topics are read.
pub fn find(
    settings: &KafkaSettings,
    id: Uuid,
    stored: Option<&Stored>,
) -> Result<Option<Record>, SearchError> {
    let consumer: BaseConsumer = servers::kafka(settings)
        // `assign` wants a group's name although no group is ever joined.
        .set("group.id", "outboxctl")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .create()?;
    let since = stored.and_then(|stored| stored.event.occurred_at).or_else(|| moment_of(id));
    let since = since.map_or(0, |moment| (moment.millis() - SKEW_MILLIS).max(0));
    let topics: Vec<_> = match stored {
        Some(stored) => vec![settings.topic(&stored.event.topic)],
        None => Domain::ALL.map(|domain| settings.topic(domain.topic())).into(),
    };
    for topic in topics {
        let start = offsets_since(&consumer, &topic, since)?;
        let partitions: Vec<i32> = start.elements().iter().map(|it| it.partition()).collect();
        let own = stored.and_then(|stored| own_partition(&stored.event.entity_id, &partitions));
        // Who changed the number of partitions has moved keys: then it is in another one.
        for wanted in [own.map(Wanted::Only), Some(own.map_or(Wanted::All, Wanted::AllBut))] {
            let Some(wanted) = wanted else { continue };
            let found = search(&consumer, &start, wanted, id, settings)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

#[derive(Clone, Copy)]
enum Wanted {
    Only(i32),
    AllBut(i32),
    All,
}

impl Wanted {
    fn includes(self, partition: i32) -> bool {
        match self {
            Self::Only(one) => partition == one,
            Self::AllBut(one) => partition != one,
            Self::All => true,
        }
    }
}

/// A UUID of version 7 begins with its moment; older events have none in their id.
fn moment_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)?;
    Timestamp::from_millis(millis + i64::from(nanos / 1_000_000))
}

fn own_partition(entity_id: &str, partitions: &[i32]) -> Option<i32> {
    let count = u32::try_from(partitions.len()).ok()?;
    i32::try_from(partition_of(entity_id, count)?).ok()
}

fn offsets_since(
    consumer: &BaseConsumer,
    topic: &str,
    since: i64,
) -> KafkaResult<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut moments = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        moments.add_partition_offset(topic, partition.id(), Offset::Offset(since))?;
    }
    if moments.count() == 0 {
        return Ok(moments);
    }
    consumer.offsets_for_times(moments, PATIENCE)
}

fn search(
    consumer: &BaseConsumer,
    start: &TopicPartitionList,
    wanted: Wanted,
    id: Uuid,
    settings: &KafkaSettings,
) -> Result<Option<Record>, SearchError> {
    let mut assignment = TopicPartitionList::new();
    for element in start.elements() {
        if wanted.includes(element.partition()) {
            let offset = element.offset();
            assignment.add_partition_offset(element.topic(), element.partition(), offset)?;
        }
    }
    let mut unread: BTreeSet<i32> =
        assignment.elements().iter().map(|element| element.partition()).collect();
    consumer.assign(&assignment)?;
    let mut deadline = Instant::now() + STUCK;
    let mut found = None;
    while !unread.is_empty() && found.is_none() {
        match consumer.poll(Duration::from_millis(100)) {
            None if Instant::now() > deadline => {
                let topic = assignment.elements().first().map(|it| it.topic().to_owned());
                return Err(SearchError::Stuck(topic.unwrap_or_default()));
            }
            None => continue,
            Some(Ok(message)) => {
                found = is(&message, id).then(|| read(&message, settings)).flatten();
            }
            // Said again and again where others write meanwhile.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => return Err(error.into()),
        }
        deadline = Instant::now() + STUCK;
    }
    consumer.unassign()?;
    Ok(found)
}

/// By its header; the older producer's records have none, and name it in the value.
fn is(message: &BorrowedMessage<'_>, id: Uuid) -> bool {
    match header_of(message, header::EVENT_ID) {
        Some(text) => Uuid::parse_str(text) == Ok(id),
        None => value_of(message).is_some_and(|value| {
            let named = value["event_id"].as_str();
            named.is_some_and(|named| Uuid::parse_str(named) == Ok(id))
        }),
    }
}

fn read(message: &BorrowedMessage<'_>, settings: &KafkaSettings) -> Option<Record> {
    let value = value_of(message)?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let version = header_of(message, header::VERSION).and_then(|text| text.parse().ok());
    let millis = message.timestamp().to_millis();
    Some(Record {
        place: Place {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        },
        event: Event {
            topic: settings.logical_topic(message.topic()).unwrap_or_default().to_owned(),
            entity_id: text("entity_id"),
            event_type: text("event_type"),
            version: version.unwrap_or(0),
            occurred_at: text("timestamp").parse().ok(),
        },
        at: millis.and_then(Timestamp::from_millis),
    })
}

fn value_of(message: &BorrowedMessage<'_>) -> Option<serde_json::Value> {
    serde_json::from_slice(message.payload()?).ok()
}

fn header_of<'a>(message: &'a BorrowedMessage<'_>, key: &str) -> Option<&'a str> {
    let mut headers = message.headers()?.iter();
    std::str::from_utf8(headers.find(|header| header.key == key)?.value?).ok()
}

/// The dead letter that the record became, if it did.
pub async fn dead_letter(
    settings: &KafkaSettings,
    place: &Place,
) -> KafkaResult<Option<DeadLetter>> {
    let mut letters = Letters::all(settings).await?;
    while let Some((_, letter)) = letters.next().await? {
        let is = |letter: &DeadLetter| {
            letter.origin_topic == place.topic
                && letter.origin_partition == place.partition
                && letter.origin_offset == place.offset
        };
        if let Some(letter) = letter.ok().filter(is) {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

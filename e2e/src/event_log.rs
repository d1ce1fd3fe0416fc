use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use shared::event::Domain;

const TIMEOUT: Duration = Duration::from_secs(10);

/// One event as a reader of the topics gets it.
#[derive(Debug, Clone)]
pub struct Event {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Value,
}

/// All events of a pipeline, in each partition's order, as a read_committed
/// consumer sees them.
pub struct EventLog {
    pub events: Vec<Event>,
}

impl EventLog {
    /// Reads the five topics from their beginnings to their present ends.
    pub async fn read(environment: BTreeMap<String, String>) -> Self {
        tokio::task::spawn_blocking(move || read_all(&environment)).await.expect("the reader ends")
    }

    /// # Panics
    /// Where an event is there twice, or an entity's versions do not strictly rise.
    pub fn assert_exactly_once_in_order(&self) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut versions: HashMap<(&str, &str), i64> = HashMap::new();
        for event in &self.events {
            *seen.entry(&event.headers["event_id"]).or_default() += 1;
            let version: i64 = event.headers["version"].parse().expect("a version");
            let before = versions.insert((&event.topic, &event.key), version);
            assert!(before.is_none_or(|before| before < version), "out of order: {event:?}");
        }
        let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
        assert!(doubled.is_empty(), "published more than once: {doubled:?}");
    }

    /// # Panics
    /// Where one of `event_ids` is missing.
    pub fn assert_holds(&self, event_ids: &[String]) {
        let held: std::collections::HashSet<_> =
            self.events.iter().map(|event| event.headers["event_id"].as_str()).collect();
        let missing: Vec<_> = event_ids.iter().filter(|id| !held.contains(id.as_str())).collect();
        assert!(
            missing.is_empty(),
            "{} of {} missing: {missing:?}",
            missing.len(),
            event_ids.len()
        );
    }

    pub fn of(&self, event_id: &str) -> &Event {
        let found = self.events.iter().find(|event| event.headers["event_id"] == event_id);
        found.unwrap_or_else(|| panic!("event {event_id} was not published"))
    }
}

fn read_all(environment: &BTreeMap<String, String>) -> EventLog {
    let mut events = Vec::new();
    each_record(environment, "read_committed", &Domain::ALL.map(Domain::topic), |message| {
        events.push(event(message));
    });
    EventLog { events }
}

/// Reads topics, named without their prefix, from their beginnings to their present
/// ends, each partition in its order. A topic that does not exist holds nothing. Blocks.
///
/// # Panics
/// Where the brokers do not answer.
pub fn each_record(
    environment: &BTreeMap<String, String>,
    isolation: &str,
    topics: &[&str],
    mut take: impl FnMut(&BorrowedMessage<'_>),
) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &environment["KAFKA_BOOTSTRAP_SERVERS"])
        .set("group.id", "e2e-reader")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    for topic in topics {
        let topic = format!("{}{topic}", environment["KAFKA_TOPIC_PREFIX"]);
        each_record_of(&consumer, &topic, &mut take);
    }
}

fn each_record_of(
    consumer: &BaseConsumer,
    topic: &str,
    take: &mut impl FnMut(&BorrowedMessage<'_>),
) {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("metadata");
    let partitions = metadata.topics()[0].partitions().iter();
    let mut unread: BTreeSet<i32> = partitions.map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &unread {
        let added = assignment.add_partition_offset(topic, *partition, Offset::Beginning);
        added.expect("a valid offset");
    }
    consumer.assign(&assignment).expect("the partitions can be assigned");
    while !unread.is_empty() {
        match consumer.poll(TIMEOUT).expect("the brokers answer") {
            Ok(message) => take(&message),
            // The last stable offset: what lies beyond is in an open transaction. Said again
            // and again where others write meanwhile.
            Err(KafkaError::PartitionEOF(partition)) => {
                unread.remove(&partition);
            }
            Err(error) => panic!("reading the topics: {error}"),
        }
    }
    consumer.unassign().expect("it lets go of them");
}

fn event(message: &impl Message) -> Event {
    Event {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        headers: headers(message),
        value: serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON"),
    }
}

pub(crate) fn headers(message: &impl Message) -> BTreeMap<String, String> {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| {
            let value = header.value.unwrap_or_default();
            (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
        })
    });
    headers.into_iter().flatten().collect()
}

//! The topics, as a read_committed reader sees them; and what is deleted from them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::event::Domain;

use super::{Environment, Key};
use crate::event_log::{each_record, headers};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A record, as far as it is compared.
#[derive(Debug, Clone)]
pub struct Seen {
    pub key: Key,
    pub version: i64,
    pub event_id: String,
    pub partition: i32,
    offset: i64,
}

/// Records that are gone from the topics.
#[derive(Debug)]
pub struct Deleted {
    /// All of them, from each partition's beginning.
    pub records: Vec<Seen>,
    /// How many of them the group had not read, by topic, with its prefix, and partition.
    pub unread: BTreeMap<(String, i32), usize>,
}

/// The five topics, and what was given up.
pub async fn read(environment: &Environment) -> (Vec<Seen>, Vec<String>) {
    let environment = environment.clone();
    blocking(move || {
        let mut letters = Vec::new();
        each_record(&environment, "read_committed", &["dead-letter"], |message| {
            letters.push(format!("{:?}", headers(message)));
        });
        (read_events(&environment), letters)
    })
    .await
}

/// Deletes all that a reader sees in the five topics. The group has no member meanwhile.
pub async fn delete_unread(environment: &Environment) -> Deleted {
    let owned = environment.clone();
    let (records, ends, positions) = blocking(move || {
        let records = read_events(&owned);
        let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
        for record in &records {
            let end = ends.entry(place(&owned, record)).or_default();
            *end = record.offset + 1;
        }
        let positions = positions(&owned, &ends);
        (records, ends, positions)
    })
    .await;
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), end) in &ends {
        let added = offsets.add_partition_offset(topic, *partition, Offset::Offset(*end));
        added.expect("a valid offset");
    }
    let admin: AdminClient<DefaultClientContext> =
        config(environment).create().expect("an admin client");
    admin.delete_records(&offsets, &AdminOptions::new()).await.expect("Kafka deletes records");
    let mut unread: BTreeMap<(String, i32), usize> = BTreeMap::new();
    for record in &records {
        let place = place(environment, record);
        if record.offset >= positions.get(&place).copied().unwrap_or_default() {
            *unread.entry(place).or_default() += 1;
        }
    }
    Deleted { records, unread }
}

/// What the group has committed.
fn positions(
    environment: &Environment,
    partitions: &BTreeMap<(String, i32), i64>,
) -> BTreeMap<(String, i32), i64> {
    let mut config = config(environment);
    let consumer: BaseConsumer =
        config.set("group.id", &environment["KAFKA_GROUP_ID"]).create().expect("a consumer");
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in partitions.keys() {
        asked.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(asked, TIMEOUT).expect("Kafka knows them");
    let committed = committed.elements();
    let known = committed.iter().filter_map(|it| match it.offset() {
        Offset::Offset(offset) => Some(((it.topic().to_owned(), it.partition()), offset)),
        _ => None,
    });
    known.collect()
}

fn place(environment: &Environment, record: &Seen) -> (String, i32) {
    let topic = format!("{}{}", environment["KAFKA_TOPIC_PREFIX"], record.key.0.topic());
    (topic, record.partition)
}

fn read_events(environment: &Environment) -> Vec<Seen> {
    let mut seen = Vec::new();
    for domain in Domain::ALL {
        each_record(environment, "read_committed", &[domain.topic()], |message| {
            seen.push(event(domain, message));
        });
    }
    seen
}

fn event(domain: Domain, message: &BorrowedMessage<'_>) -> Seen {
    let headers = headers(message);
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    Seen {
        key: (domain, String::from_utf8_lossy(message.key().unwrap_or_default()).into()),
        version: header("version").parse().unwrap_or(0),
        event_id: header("event_id"),
        partition: message.partition(),
        offset: message.offset(),
    }
}

fn config(environment: &Environment) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &environment["KAFKA_BOOTSTRAP_SERVERS"]);
    config
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

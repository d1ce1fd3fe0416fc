//! Topics of a test's own.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use shared::Timestamp;
use shared::document::Document;
use shared::event::header;

pub const TIMEOUT: Duration = Duration::from_secs(20);

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap());
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

pub async fn create_topic(name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    for created in admin().create_topics([&topic], &options).await.unwrap() {
        created.unwrap();
    }
}

pub async fn delete_topics(names: &[&str]) {
    admin().delete_topics(names, &AdminOptions::new()).await.unwrap();
}

/// Takes the oldest record of partition 0 away, as retention does.
pub async fn age_out_one(topic: &str) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
    admin().delete_records(&before, &AdminOptions::new()).await.unwrap();
}

pub async fn publish(topic: &str, key: &str, value: &str, headers: Option<OwnedHeaders>) {
    let producer: FutureProducer = client().create().unwrap();
    let mut record = FutureRecord::to(topic).key(key).payload(value);
    record.headers = headers;
    producer.send(record, TIMEOUT).await.unwrap();
}

/// As the relay publishes it.
pub async fn publish_created<D: Document>(topic: &str, document: &D) {
    let event_type = format!("{}.created", D::DOMAIN.topic());
    let event_id = uuid::Uuid::now_v7().to_string();
    let value = json!({
        "event_type": event_type, "event_id": event_id, "timestamp": Timestamp::now(),
        "entity_id": document.id(), "data": document,
    });
    let version = document.version().to_string();
    let all = [
        (header::EVENT_ID, event_id.as_str()),
        (header::EVENT_TYPE, event_type.as_str()),
        (header::VERSION, version.as_str()),
    ];
    let headers = all.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    publish(topic, &document.id().to_string(), &value.to_string(), Some(headers)).await;
}

/// Commits `offset` of partition 0 for an idle group.
pub fn commit(group: &str, topic: &str, offset: i64) {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// What the group has committed of partition 0.
pub fn committed(group: &str, topic: &str) -> Option<i64> {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    let committed = consumer.committed_offsets(wanted, TIMEOUT).unwrap();
    match committed.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

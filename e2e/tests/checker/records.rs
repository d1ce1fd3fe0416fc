//! Records of the topics, read and written past the relay.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::each_record;
use mongodb::bson::{Bson, Document};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Record {
    /// With its prefix.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// An event of the outbox.
pub struct Committed(pub Document);

type Environment = BTreeMap<String, String>;

/// All of a topic that were committed, in each partition's order.
pub async fn read(environment: &Environment, topic: &str) -> Vec<Record> {
    let (environment, topic) = (environment.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        each_record(&environment, "read_committed", &[&topic], |message| {
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            records.push(Record {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers
                    .map(|it| (it.key.to_owned(), it.value.unwrap_or_default().to_vec()))
                    .collect(),
            });
        });
        records
    })
    .await
    .unwrap()
}

/// In its own partition, and in no transaction.
pub async fn write(environment: &Environment, record: &Record) {
    let producer: FutureProducer = config(environment).create().unwrap();
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let sent = FutureRecord::to(&record.topic)
        .partition(record.partition)
        .key(&record.key)
        .payload(&record.value)
        .headers(headers);
    producer.send(sent, Duration::from_secs(10)).await.unwrap();
}

/// Nobody sees it or an earlier one of its partition any more.
pub async fn forget_up_to(environment: &Environment, record: &Record) {
    let admin: AdminClient<DefaultClientContext> = config(environment).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    let after = Offset::Offset(record.offset + 1);
    offsets.add_partition_offset(&record.topic, record.partition, after).unwrap();
    admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
}

fn config(environment: &Environment) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &environment["KAFKA_BOOTSTRAP_SERVERS"]);
    config
}

impl Committed {
    /// As the relay would publish it, in the place of `like`.
    pub fn into_record(self, like: &Record) -> Record {
        let text = |field: &str| self.0.get_str(field).unwrap().to_owned();
        let Some(Bson::Binary(id)) = self.0.get("_id") else { panic!("{}", self.0) };
        let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        Record {
            key: text("entity_id").into_bytes(),
            value: text("payload").into_bytes(),
            headers: vec![
                header("event_id", Uuid::from_slice(&id.bytes).unwrap().to_string()),
                header("event_type", text("event_type")),
                header("version", self.0.get_i64("version").unwrap().to_string()),
            ],
            ..like.clone()
        }
    }
}

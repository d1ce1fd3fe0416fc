//! An independent reader of the topics, as strict as a consumer can be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use relay::checkpoint::Progress;
use shared::event::Domain;

use crate::fixture::{PATIENCE, Pipeline};

#[derive(Debug, Clone)]
pub struct Seen {
    pub topic: String,
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn event_id(&self) -> String {
        self.header("event_id").expect("a record without event_id").to_owned()
    }
}

pub fn consumer(kafka: &str) -> BaseConsumer {
    consumer_with(kafka, &[])
}

/// One that differs in these settings.
pub fn consumer_with(kafka: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka)
        .set("group.id", "relay-tests")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("auto.offset.reset", "earliest");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Reads the five topics from the beginning until at least `count` events were seen and
/// the end of every partition was reached afterwards.
pub fn read_until(kafka: &str, prefix: &str, count: usize, deadline: Instant) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0.. {
        seen = read_all(kafka, prefix, deadline);
        if seen.len() >= count || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(seen.len() >= count, "only {} of {count} events arrived", seen.len());
    seen
}

pub fn read_all(kafka: &str, prefix: &str, deadline: Instant) -> Vec<Seen> {
    let consumer = consumer(kafka);
    let mut seen = Vec::new();
    for domain in Domain::ALL {
        let topic = format!("{prefix}{}", domain.topic());
        read_topic(&consumer, &topic, deadline, |record| seen.push(see(record)));
    }
    seen
}

fn see(record: &BorrowedMessage<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = record.headers().unwrap().iter();
    Seen {
        topic: domain(record.topic()),
        key: text(record.key().unwrap()),
        value: text(record.payload().unwrap()),
        headers: headers
            .map(|header| (header.key.to_owned(), text(header.value.unwrap())))
            .collect(),
    }
}

/// To the end of each partition, or until the deadline.
fn read_topic(
    consumer: &BaseConsumer,
    topic: &str,
    deadline: Instant,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) {
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).unwrap();
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut unread: BTreeSet<i32> = assignment.elements().iter().map(|it| it.partition()).collect();
    while !unread.is_empty() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(record)) => each(&record),
        }
    }
    consumer.unassign().unwrap();
}

/// Where each record lies, by topic, partition and offset, with its key.
pub async fn places(pipeline: &Pipeline) -> Vec<(String, i32, i64, String)> {
    let kafka = pipeline.kafka.clone();
    let topics = Domain::ALL.map(|domain| pipeline.topic(domain.topic()));
    let reading = tokio::task::spawn_blocking(move || {
        let consumer = consumer(&kafka);
        let deadline = Instant::now() + PATIENCE;
        let mut places = Vec::new();
        for topic in &topics {
            read_topic(&consumer, topic, deadline, |record| {
                let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
                places.push((topic.clone(), record.partition(), record.offset(), key));
            });
        }
        places
    });
    reading.await.unwrap()
}

/// Whether an open transaction hides anything in the five topics from a read_committed
/// reader.
pub async fn is_anything_hidden(kafka: &str, prefix: &str) -> bool {
    let shown = sum_of_ends(kafka, prefix, "read_committed").await;
    shown < sum_of_ends(kafka, prefix, "read_uncommitted").await
}

/// Of all partitions of the five topics, as a reader of that isolation level sees them.
pub async fn sum_of_ends(kafka: &str, prefix: &str, isolation: &str) -> i64 {
    let consumer = consumer_with(kafka, &[("isolation.level", isolation)]);
    let topics = Domain::ALL.map(|domain| format!("{prefix}{}", domain.topic()));
    let reading = tokio::task::spawn_blocking(move || {
        let end = |topic: &str, partition| {
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(20)).unwrap().1
        };
        topics.iter().flat_map(|topic| (0..3).map(|partition| end(topic, partition))).sum()
    });
    reading.await.unwrap()
}

/// A reader that stays and waits.
pub struct Arrivals(BaseConsumer);

impl Arrivals {
    /// From the topics' ends on.
    pub async fn of(pipeline: &Pipeline) -> Self {
        let (kafka, topics) =
            (pipeline.kafka.clone(), Domain::ALL.map(|domain| pipeline.topic(domain.topic())));
        let opening = tokio::task::spawn_blocking(move || {
            let consumer = consumer(&kafka);
            let mut assignment = TopicPartitionList::new();
            for topic in &topics {
                for partition in 0..3 {
                    assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
                }
            }
            consumer.assign(&assignment).unwrap();
            Self(consumer)
        });
        opening.await.unwrap()
    }

    pub async fn wait_for(self, event_id: String) -> Self {
        let waiting = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if let Some(Ok(record)) = self.0.poll(Duration::from_millis(100)) {
                    let mut headers = record.headers().unwrap().iter();
                    let id = headers.find(|header| header.key == "event_id").unwrap().value;
                    if id == Some(event_id.as_bytes()) {
                        break;
                    }
                }
            }
            assert!(Instant::now() < deadline, "{event_id} never arrived");
            self
        });
        waiting.await.unwrap()
    }
}

fn domain(topic: &str) -> String {
    topic.rsplit('.').next().unwrap().to_owned()
}

pub fn admin(kafka: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap()
}

/// All topics of this prefix.
pub async fn delete_topics(kafka: &str, prefix: &str) {
    let mut topics: Vec<_> = Domain::ALL.map(|domain| format!("{prefix}{}", domain.topic())).into();
    topics.push(format!("{prefix}outbox-relay-checkpoint"));
    delete(kafka, &topics).await;
}

pub async fn delete(kafka: &str, topics: &[String]) {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for outcome in admin(kafka).delete_topics(&names, &options).await.unwrap() {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((topic, code)) => panic!("{topic}: {code}"),
        }
    }
}

pub async fn newest_checkpoint(kafka: &str, topic: &str) -> relay::checkpoint::Checkpoint {
    let (consumer, topic) = (consumer(kafka), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        let mut newest = None;
        loop {
            match consumer.poll(Duration::from_secs(10)) {
                Some(Ok(record)) => {
                    newest = Some(relay::checkpoint::decode(record.payload().unwrap()).unwrap())
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return newest.expect("no checkpoint"),
                Some(Err(error)) => panic!("{error}"),
                None => panic!("the end of {topic} was not reached"),
            }
        }
    });
    reading.await.unwrap()
}

/// Adds the first shard's newest checkpoint once more, with a token that MongoDB takes for
/// none.
pub async fn break_checkpoint(pipeline: &Pipeline) {
    let topic = pipeline.topic("outbox-relay-checkpoint");
    let mut checkpoint = newest_checkpoint(&pipeline.kafka, &topic).await;
    let Progress::At(position) = &mut checkpoint.progress else {
        panic!("{checkpoint:?}");
    };
    let data = position.token.get_str("_data").unwrap();
    let broken = format!("{}FFFFFFFF", &data[..18]);
    position.token.insert("_data", broken);
    let value = checkpoint.encode().unwrap();
    produce(&pipeline.kafka, &topic, &checkpoint.shard, &value).await;
}

pub async fn produce(kafka: &str, topic: &str, key: &str, value: &[u8]) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
    let record = FutureRecord::to(topic).partition(0).key(key).payload(value);
    producer.send(record, Duration::from_secs(20)).await.unwrap();
}

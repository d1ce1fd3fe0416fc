//! What lies refused is counted where it lies, so the figure falls when it is gone.

use std::time::Duration;

use bson::doc;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::event::DEAD_LETTER_TOPIC;

use crate::fixture::{PATIENCE, Pipeline, until};
use crate::process::Process;
use crate::reader;

async fn create(pipeline: &Pipeline, topic: &str) {
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    let admin = reader::admin(&pipeline.kafka);
    for created in admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
}

/// Three letters of a transaction each, and one transaction of two that is aborted: eight
/// offsets and more, and three letters.
fn write_letters(kafka: &str, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka).set("transactional.id", topic);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for (records, is_committed) in [(1, true), (2, false), (1, true), (1, true)] {
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<(), str>::to(topic).payload("{}")).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        match is_committed {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
}

/// As `outboxctl dlq drop` does.
async fn drop_letters(pipeline: &Pipeline, topic: &str, before: Offset) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, before).unwrap();
    let admin = reader::admin(&pipeline.kafka);
    let deleted = admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    for partition in deleted.elements() {
        partition.error().unwrap();
    }
}

async fn until_metric(relay: &Process, name: &str, value: f64) {
    until(&format!("{name} {value}"), || async { relay.metric(name).await == Some(value) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_counted_and_not_their_offsets_and_the_count_falls_again() {
    let pipeline = Pipeline::new("letters").await;
    let topic = pipeline.topic(DEAD_LETTER_TOPIC);
    create(&pipeline, &topic).await;
    let relay = pipeline.launch();
    relay.await_leading().await;
    until_metric(&relay, "relay_dead_letters", 0.0).await;

    let (kafka, name) = (pipeline.kafka.clone(), topic.clone());
    tokio::task::spawn_blocking(move || write_letters(&kafka, &name)).await.unwrap();
    until_metric(&relay, "relay_dead_letters", 3.0).await;
    until("the watermark says so, too", || async {
        let watermarks = pipeline.database.collection(shared::watermark::COLLECTION);
        let watermark: Option<bson::Document> = watermarks.find_one(doc! {}).await.unwrap();
        watermark.is_some_and(|it| it.get_i64("dead_letters").is_ok_and(|letters| letters == 3))
    })
    .await;

    // The first letter is at 0, its marker at 1.
    drop_letters(&pipeline, &topic, Offset::Offset(1)).await;
    until_metric(&relay, "relay_dead_letters", 2.0).await;
    drop_letters(&pipeline, &topic, Offset::End).await;
    until_metric(&relay, "relay_dead_letters", 0.0).await;
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

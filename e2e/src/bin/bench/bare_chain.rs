//! The raw limit of the latency: the same hops, and nothing around them.
//!
//! The driver's own change stream, a Kafka transaction of what it brings and of a position,
//! a consumer that reads what is committed, and a statement a record, which commits itself.
//! Nobody claims, checks, guards, looks for what was deleted, keeps account or tries again.

use std::time::Duration;

use e2e::{Pipeline, Rows};
use futures::{FutureExt, StreamExt};
use mongodb::Client;
use mongodb::bson::RawDocumentBuf;
use mongodb::change_stream::ChangeStream;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use shared::outbox;
use tokio::task::{JoinHandle, block_in_place};

use crate::upsert;

const PATIENCE: Duration = Duration::from_secs(30);
const POST: &str = "post";

/// Ends when it is dropped.
pub struct BareChain([JoinHandle<()>; 2]);

impl BareChain {
    /// Stops relay and projector and does their work. There must be a post's row already: the
    /// others are like it.
    pub async fn instead_of(pipeline: &mut Pipeline) -> Self {
        let (row, statement) = upsert::one_of(&pipeline.rows(), "posts").await;
        for process in [&mut pipeline.relay, &mut pipeline.projector] {
            assert!(process.stop(PATIENCE).await, "it stops");
        }
        let kafka = pipeline.setting("KAFKA_BOOTSTRAP_SERVERS").to_owned();
        let topic = pipeline.setting("KAFKA_TOPIC_PREFIX").to_owned() + POST;
        // Before anything is written: it begins now.
        let stream =
            stream_of(pipeline.setting("MONGODB_URL"), pipeline.setting("DATABASE_NAME")).await;
        let projecting =
            tokio::spawn(project(kafka.clone(), topic.clone(), pipeline.rows(), row, statement));
        Self([tokio::spawn(relay(stream, kafka, topic)), projecting])
    }
}

impl BareChain {
    /// It does not, unless something is wrong.
    pub async fn ended(&mut self) {
        futures::future::select_all(&mut self.0).await.0.expect("it says why");
    }
}

impl Drop for BareChain {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn stream_of(url: &str, database: &str) -> ChangeStream<RawDocumentBuf> {
    let client = Client::with_uri_str(url).await.expect("MongoDB");
    let outbox = client.database(database).collection::<RawDocumentBuf>(outbox::COLLECTION);
    outbox.watch().await.expect("a change stream").with_type()
}

async fn relay(mut stream: ChangeStream<RawDocumentBuf>, kafka: String, topic: String) {
    // Of those that are there, one that nobody else needs any more.
    let position = topic.replace(POST, "outbox-relay-checkpoint");
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka)
        .set("transactional.id", &position)
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .create()
        .expect("a producer");
    block_in_place(|| producer.init_transactions(PATIENCE)).expect("a claim");
    while let Some(first) = stream.next().await {
        let mut events = vec![first.expect("an event")];
        while let Some(Some(next)) = stream.next().now_or_never() {
            events.push(next.expect("an event"));
        }
        block_in_place(|| producer.begin_transaction()).expect("a transaction");
        let token = events.last().map_or(&[][..], |event| event.as_bytes());
        let posts = events.iter().filter_map(|event| {
            let record = event.get_document("fullDocument").expect("an insert");
            let text = |field| record.get_str(field).expect("a text");
            let key = text(outbox::field::ENTITY_ID);
            (text(outbox::field::TOPIC) == POST)
                .then(|| send(&producer, &topic, key, text(outbox::field::PAYLOAD).as_bytes()))
        });
        let position = [send(&producer, &position, "", token)];
        futures::future::join_all(posts.chain(position)).await;
        // A commit that comes before the last report is let go of waits 100 ms.
        while producer.in_flight_count() > 0 {
            tokio::task::yield_now().await;
        }
        block_in_place(|| producer.commit_transaction(PATIENCE)).expect("a commit");
    }
}

async fn send(producer: &FutureProducer, topic: &str, key: &str, payload: &[u8]) {
    let record = FutureRecord::to(topic).key(key).payload(payload);
    producer.send(record, PATIENCE).await.expect("it is delivered");
}

async fn project(kafka: String, topic: String, rows: Rows, row: Vec<Value>, statement: String) {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka)
        .set("group.id", format!("{topic}-bare"))
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&topic]).expect("a subscription");
    let mut connection = rows.connect().await.expect("MySQL answers");
    loop {
        let record = consumer.recv().await.expect("a record");
        let post: serde_json::Value =
            serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
        let mut row = row.clone();
        // The key is the table's first column.
        row[0] = Value::from(post["entity_id"].as_str().expect("an id"));
        connection.exec_drop(&statement, Params::Positional(row)).await.expect("an upsert");
    }
}

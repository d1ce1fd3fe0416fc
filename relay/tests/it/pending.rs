//! How much waits, counted at the source, whatever happened to the servers; and what the
//! relay says in MongoDB while Kafka is away.

use std::time::{Duration, Instant};

use bson::{RawDocumentBuf, doc};
use shared::watermark::{COLLECTION, Watermark};

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;
use crate::servers::Servers;

impl Pipeline {
    async fn reported(&self) -> Option<Watermark> {
        let watermarks = self.database.collection::<RawDocumentBuf>(COLLECTION);
        let stored = watermarks.find_one(doc! { "_id": "0/1" }).await.unwrap()?;
        Some(Watermark::parse(&stored).unwrap())
    }

    async fn names_kafka(&self) -> bool {
        let obstacle = self.reported().await.and_then(|reported| reported.obstacle);
        obstacle.is_some_and(|obstacle| obstacle.server == "kafka")
    }
}

async fn pending(relay: &Process) -> Option<f64> {
    relay.metric("relay_outbox_pending_events").await
}

/// MongoDB's own count of a collection is wrong for good after that.
#[tokio::test(flavor = "multi_thread")]
async fn pending_is_what_waits_after_mongod_was_killed_and_while_kafka_is_away() {
    let servers = Servers::start("pending");
    let pipeline = Pipeline::on("pending", servers.mongodb_url(), servers.kafka()).await;
    let relay = pipeline.launch();
    let mut written = history(200, 10);
    let (first, second) = written.split_at(1_000);
    pipeline.write(first).await;
    // What MongoDB has on disk now is where its count begins after a crash.
    let admin = pipeline.database.client().database("admin");
    admin.run_command(doc! { "fsync": 1 }).await.unwrap();
    pipeline.write(second).await;
    pipeline.await_events(written.len()).await;
    servers.stack("kill", &["mongodb"]);
    servers.stack("start", &["mongodb"]);
    let estimated = pipeline.outbox().estimated_document_count().await.unwrap();
    println!("MongoDB counts {estimated} records, {} were written", written.len());
    let more = history(50, 2);
    pipeline.write(&more).await;
    written.extend(more);
    pipeline.await_events(written.len()).await;
    until("nothing is pending", async || pending(&relay).await == Some(0.0)).await;

    servers.stack("stop", &["kafka"]);
    let waiting = history(150, 2);
    pipeline.write(&waiting).await;
    written.extend(waiting);
    until("it lags", async || {
        relay.metric("relay_lag_seconds").await.is_some_and(|seconds| seconds > 3.0)
    })
    .await;
    until("300 are pending", async || pending(&relay).await == Some(300.0)).await;
    until("it says in MongoDB why", || pipeline.names_kafka()).await;

    // A relay that has never reached Kafka knows as much, by the watermark.
    relay.kill();
    let relay = pipeline.launch();
    until("300 are pending still", async || pending(&relay).await == Some(300.0)).await;
    until("the lag is known", async || {
        relay.metric("relay_lag_seconds").await.is_some_and(|seconds| seconds > 1.0)
    })
    .await;
    let before = pipeline.reported().await.unwrap().at;
    until("it says that it lives", async || pipeline.reported().await.unwrap().at > before).await;
    assert!(pipeline.names_kafka().await);

    servers.stack("start", &["kafka"]);
    let answers = Instant::now();
    until("all is published", async || relay.published().await >= 300.0).await;
    println!("published {:?} after Kafka answered", answers.elapsed());
    assert!(answers.elapsed() < Duration::from_secs(8), "{:?}", answers.elapsed());
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    until("nothing is pending", async || pending(&relay).await == Some(0.0)).await;
    until("nothing is in the way", async || pipeline.reported().await.unwrap().obstacle.is_none())
        .await;
    relay.kill();
}

//! MongoDB's data put back to an earlier copy while Kafka lived on.

use std::time::Duration;

use bson::{Document, doc};
use shared::watermark::{COLLECTION, REWOUND};
use shared::{Id, Timestamp};

use crate::fixture::{Pipeline, assert_exactly_once, history, record, until};
use crate::process::Process;
use crate::reader::newest_checkpoint;
use crate::servers::Servers;

const SWEPT: &str = "relay_resume_token_lost_total{reason=\"rewound\"}";
const WENT_BACK: &str = "relay_mongodb_went_back";

impl Pipeline {
    async fn marker(&self) -> Option<Document> {
        let watermarks = self.database.collection::<Document>(COLLECTION);
        watermarks.find_one(doc! { "_id": REWOUND }).await.ok().flatten()
    }

    async fn remove_marker(&self) {
        let watermarks = self.database.collection::<Document>(COLLECTION);
        watermarks.delete_one(doc! { "_id": REWOUND }).await.unwrap();
    }

    /// An idle relay's, whose place in the change stream is that of no event.
    async fn await_idle_checkpoint(&self) {
        let topic = self.topic("outbox-relay-checkpoint");
        let after = Timestamp::now().millis() + 3_000;
        until("an idle checkpoint", async || {
            newest_checkpoint(&self.kafka, &topic).await.written_at.millis() > after
        })
        .await;
    }
}

async fn is_noticed(pipeline: &Pipeline, relay: &Process) -> bool {
    relay.metric(WENT_BACK).await == Some(1.0) && pipeline.marker().await.is_some()
}

/// While a relay runs; and while none does, so that the next one finds it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_that_went_back_in_time_is_noticed_and_swept() {
    let servers = Servers::start("rewound");
    let pipeline = Pipeline::on("rewound", servers.mongodb_url(), servers.kafka()).await;
    let ids: Vec<Id> = (0..20).map(|_| Id::new()).collect();
    let of_version = |version| ids.iter().map(move |id| record(*id, version)).collect::<Vec<_>>();
    let relay = pipeline.launch();
    let mut written = of_version(1);
    pipeline.write(&written).await;
    pipeline.await_events(written.len()).await;
    servers.save_mongodb();

    let forgotten: Vec<_> = (2..=4).flat_map(of_version).collect();
    pipeline.write(&forgotten).await;
    written.extend(forgotten);
    pipeline.await_events(written.len()).await;
    pipeline.await_idle_checkpoint().await;
    assert_ne!(relay.metric(WENT_BACK).await, Some(1.0));
    servers.restore_mongodb();
    until("it is noticed", || is_noticed(&pipeline, &relay)).await;
    assert_eq!(relay.metric(SWEPT).await, Some(1.0));
    assert_eq!(relay.log().matches("MongoDB went back in time").count(), 1);
    let anew = history(20, 2);
    pipeline.write(&anew).await;
    written.extend(anew);
    pipeline.await_events(written.len()).await;

    // It stays until somebody has repaired it, and is not noticed twice.
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    let relay = pipeline.launch();
    until("it stays", || is_noticed(&pipeline, &relay)).await;
    relay.await_ready().await;
    assert_eq!(relay.metric(SWEPT).await, Some(0.0));
    pipeline.remove_marker().await;
    until("it is repaired", async || relay.metric(WENT_BACK).await == Some(0.0)).await;

    pipeline.await_idle_checkpoint().await;
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    servers.restore_mongodb();
    let relay = pipeline.launch();
    until("it is noticed by one that starts", || is_noticed(&pipeline, &relay)).await;
    assert_eq!(relay.metric(SWEPT).await, Some(1.0));
    let at_last = history(20, 1);
    pipeline.write(&at_last).await;
    written.extend(at_last);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    relay.kill();
}

/// A clean restart, a killed server, and a relay that gave its lease up: all that is no step
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_that_was_killed_did_not_go_back() {
    let servers = Servers::start("not-rewound");
    let pipeline = Pipeline::on("not_rewound", servers.mongodb_url(), servers.kafka()).await;
    let mut written = Vec::new();
    let mut relay = pipeline.launch();
    for how in ["kill", "stop"] {
        let some = history(20, 3);
        pipeline.write(&some).await;
        written.extend(some);
        pipeline.await_events(written.len()).await;
        servers.stack(how, &["mongodb"]);
        servers.stack("start", &["mongodb"]);
        let more = history(20, 3);
        pipeline.write(&more).await;
        written.extend(more);
        pipeline.await_events(written.len()).await;
        assert!(relay.terminate(Duration::from_secs(10)).await.success());
        relay = pipeline.launch();
    }
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    until("it is known", async || relay.metric(WENT_BACK).await == Some(0.0)).await;
    assert!(!relay.log().contains("sweeping"));
    relay.kill();
}

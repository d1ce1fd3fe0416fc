//! The change stream's cursor is lost, and the place in the stream is not: the relay goes
//! on with another one, and its session with it.

use std::time::Duration;

use bson::{Document, doc};

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;

const REOPENED: &str = "opening another one";

/// `failCommand` makes the server itself fail: the next time that this relay asks for more.
async fn fail_once(pipeline: &Pipeline, failure: Document) {
    let mut data = doc! { "failCommands": ["getMore"], "appName": &pipeline.name };
    data.extend(failure);
    let order = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data };
    let admin = pipeline.database.client().database("admin");
    admin.run_command(order).await.expect("mongod runs with enableTestCommands=1");
}

/// One test, for a fail point is the server's, not the connection's.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cursor_is_replaced_and_nothing_begins_anew() {
    let mut pipeline = Pipeline::new("cursor").await;
    pipeline.mongodb_url = format!("{}&appName={}", pipeline.mongodb_url, pipeline.name);
    let mut settings = pipeline.settings();
    settings.insert("RUST_LOG".to_owned(), "info,relay=debug".to_owned());
    let relay = Process::launch(&settings);
    relay.await_leading().await;
    let mut written = history(10, 3);
    pipeline.write(&written).await;
    pipeline.await_events(written.len()).await;

    let failures = [
        doc! { "errorCode": 43 },
        doc! { "errorCode": 189, "errorLabels": ["ResumableChangeStreamError"] },
        doc! { "closeConnection": true },
    ];
    for (before, failure) in failures.into_iter().enumerate() {
        fail_once(&pipeline, failure.clone()).await;
        until(&format!("{failure} lost the cursor"), || async {
            relay.log().matches(REOPENED).count() > before
        })
        .await;
        let further = history(10, 3);
        pipeline.write(&further).await;
        written.extend(further);
        pipeline.await_events(written.len()).await;
    }
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let log = relay.log();
    for said in [r#"unavailable: waiting for it","dependency":"mongodb""#, "starting again"] {
        assert!(!log.contains(said), "{log}");
    }
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

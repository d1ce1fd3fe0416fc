//! `/status.json` beside the servers that it tells of.

use std::time::Duration;

use e2e::{Pipeline, Servers, eventually, sample};
use mongodb::bson::{Document, doc};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

async fn status(pipeline: &Pipeline) -> Value {
    let answer = reqwest::get(format!("{}/status.json", pipeline.api.url())).await.unwrap();
    answer.json().await.unwrap()
}

/// Its first answer of which `says` is true.
async fn status_where(pipeline: &Pipeline, what: &str, says: impl Fn(&Value) -> bool) -> Value {
    eventually(what, PATIENCE, async || {
        let status = status(pipeline).await;
        if says(&status) { Ok(status) } else { Err(format!("{status:#}")) }
    })
    .await
}

fn keeps_up(status: &Value) -> bool {
    let all_applied = |topics: &Vec<Value>| {
        topics.iter().all(|topic| topic["to_go"] == 0 && !topic["end"].is_null())
    };
    matches!(status["state"].as_str(), Some("flowing" | "idle"))
        && status["outbox"]["waiting"] == 0
        && status["topics"].as_array().is_some_and(all_applied)
}

async fn post(pipeline: &Pipeline, user: &str) {
    pipeline.client().create("/posts", user, &sample::post("seen on the page")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_agrees_with_the_servers() {
    let servers = Servers::shared();
    let mut pipeline = Pipeline::start(&servers, "status").await;
    let user = sample::user("page@example.com");
    let user =
        pipeline.client().create("/users", "", &user).await["id"].as_str().unwrap().to_owned();
    for _ in 0..7 {
        post(&pipeline, &user).await;
    }
    pipeline.verify(PATIENCE).await;
    // The relay counts the letters every ten seconds.
    let is_told = |status: &Value| keeps_up(status) && !status["dead_letters"].is_null();
    let told = status_where(&pipeline, "all is published, applied and counted", is_told).await;

    let mongodb = mongodb::Client::with_uri_str(pipeline.setting("MONGODB_URL")).await.unwrap();
    let database = mongodb.database(pipeline.setting("DATABASE_NAME"));
    for (collection, documents) in told["documents"].as_object().unwrap() {
        let stored = database.collection::<Document>(collection).count_documents(doc! {}).await;
        assert_eq!(*documents, stored.unwrap(), "{collection}");
        let rows = pipeline.rows().query(&format!("SELECT COUNT(*) AS n FROM {collection}")).await;
        assert_eq!(rows.unwrap()[0]["n"], documents.to_string(), "{collection}");
    }
    let held = database.collection::<Document>("outbox").count_documents(doc! {}).await.unwrap();
    assert_eq!((&told["outbox"]["records"], held), (&Value::from(held), 8));
    assert_eq!(
        (&told["outbox"]["dead"], &told["dead_letters"]),
        (&Value::from(0), &Value::from(0))
    );
    let events = pipeline.events().await;
    for topic in told["topics"].as_array().unwrap() {
        let name = format!(
            "{}{}",
            pipeline.setting("KAFKA_TOPIC_PREFIX"),
            topic["topic"].as_str().unwrap()
        );
        let published = events.events.iter().filter(|event| event.topic == name).count();
        let end = topic["end"].as_u64().unwrap();
        // Each event may have had a transaction, so a marker, of its own.
        let published = published as u64;
        assert!((published..=2 * published).contains(&end), "{published} events, {topic}");
    }

    pipeline.relay.kill().await;
    post(&pipeline, &user).await;
    let lag = |status: &Value| status["relay"]["lag_seconds"].as_f64();
    let waits = |status: &Value| status["outbox"]["waiting"] == 1 && lag(status) > Some(1.0);
    let first = status_where(&pipeline, "the event waits", waits).await;
    let grown = |status: &Value| lag(status) > lag(&first).map(|seconds| seconds + 3.0);
    status_where(&pipeline, "the lag grows", grown).await;
    let stuck = |status: &Value| status["state"] == "stuck" && status["held_up_at"] == "relay";
    let stuck = status_where(&pipeline, "the relay is seen to be silent", stuck).await;
    assert_eq!(stuck["projector"]["state"], "unknown", "nobody tells of it: {stuck:#}");

    assert_eq!(stuck["dead_letters"], Value::Null, "it was said long ago: {stuck:#}");

    pipeline.relay.restart();
    blames_no_projector(&pipeline).await;
}

/// From a restart of the relay on until it flows again: the projector had no part in it.
async fn blames_no_projector(pipeline: &Pipeline) {
    eventually("it flows again", PATIENCE, async || {
        let status = status(pipeline).await;
        let blamed = status["held_up_at"] == "projector" && status["state"] != "unknown";
        assert!(!blamed, "the projector is blamed: {status:#}");
        if keeps_up(&status) { Ok(()) } else { Err(format!("{status:#}")) }
    })
    .await;
}

/// Nothing is written: the restart is all that happens.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_pipeline_is_not_late_while_the_relay_restarts() {
    let servers = Servers::shared();
    let mut pipeline = Pipeline::start(&servers, "restarted").await;
    let user = sample::user("restarted@example.com");
    pipeline.client().create("/users", "", &user).await;
    status_where(&pipeline, "it is idle", |status| status["state"] == "idle").await;
    pipeline.relay.kill().await;
    pipeline.relay.restart();
    blames_no_projector(&pipeline).await;
    pipeline.relay.wait_until_ready().await;
    let reported = |status: &Value| status["relay"]["reported_at"].clone();
    let before = reported(&status(&pipeline).await);
    status_where(&pipeline, "the new relay reports", |now| reported(now) != before).await;
    blames_no_projector(&pipeline).await;
}

/// Neither idle nor in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_does_not_run_is_seen_while_nothing_is_written() {
    let servers = Servers::shared();
    let mut pipeline = Pipeline::start(&servers, "absent").await;
    let user = sample::user("absent@example.com");
    pipeline.client().create("/users", "", &user).await;
    status_where(&pipeline, "it is idle", |status| status["state"] == "idle").await;
    pipeline.projector.kill().await;
    let absent = |status: &Value| status["projector"]["state"] == "absent";
    let absent = status_where(&pipeline, "no projector runs", absent).await;
    assert_eq!((&absent["state"], &absent["held_up_at"]), (&"stuck".into(), &"projector".into()));
    let seen = pipeline.outboxctl(&["status"]).await;
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("projector: none is in its consumer group"), "{seen}");
    pipeline.projector.restart();
    status_where(&pipeline, "it runs again", keeps_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_away_is_blamed_and_not_the_relay() {
    let servers = Servers::shared();
    let mut pipeline = Pipeline::start(&servers, "stalled").await;
    let user = sample::user("stalled@example.com");
    let user =
        pipeline.client().create("/users", "", &user).await["id"].as_str().unwrap().to_owned();
    post(&pipeline, &user).await;
    status_where(&pipeline, "all is published and applied", keeps_up).await;
    pipeline.projector.kill().await;
    for _ in 0..3 {
        post(&pipeline, &user).await;
    }
    let away = |status: &Value| {
        matches!(status["state"].as_str(), Some("late" | "stuck"))
            && status["held_up_at"] == "projector"
    };
    let late = status_where(&pipeline, "the projector is blamed", away).await;
    assert_eq!(late["relay"]["state"], "ok", "{late:#}");
    let to_go = late["topics"].as_array().unwrap().iter().filter_map(|it| it["to_go"].as_u64());
    assert!(to_go.sum::<u64>() >= 3, "{late:#}");
    pipeline.projector.restart();
    status_where(&pipeline, "it has caught up", keeps_up).await;
}

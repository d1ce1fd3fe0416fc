//! What takes minutes: only with the feature `chaos`.

use std::time::{Duration, Instant};

use bson::doc;
use shared::outbox::OutboxRecord;

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;
use crate::servers::{Kind, Servers};

async fn pipeline(servers: &Servers, test: &str) -> Pipeline {
    Pipeline::on(test, servers.mongodb_url(), servers.kafka()).await
}

/// Writes to another collection until the oplog no longer holds its former beginning.
async fn roll_the_oplog(pipeline: &Pipeline) {
    let local = pipeline.database.client().database("local");
    let oplog = local.collection::<bson::Document>("oplog.rs");
    let begin = || async {
        let first = oplog.find_one(doc! {}).sort(doc! { "$natural": 1 }).await.unwrap();
        first.unwrap().get_timestamp("ts").unwrap().time
    };
    let now = pipeline.database.run_command(doc! { "ping": 1 }).await.unwrap();
    let now = now.get_timestamp("operationTime").unwrap().time;
    let filler = pipeline.database.collection::<bson::Document>("filler");
    let deadline = Instant::now() + Duration::from_secs(240);
    let mut written = 0;
    while begin().await <= now {
        assert!(Instant::now() < deadline, "wrote {written} MB, and the oplog did not roll");
        let bytes = vec![0u8; 8 << 20];
        let bytes = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes };
        let document = doc! { "_id": written, "bytes": bytes };
        filler.insert_one(document).await.unwrap();
        filler.delete_one(doc! { "_id": written }).await.unwrap();
        written += 8;
    }
    println!("the oplog rolled after {written} MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_outbox_outlives_the_oplog_and_a_stopped_relay_sweeps() {
    let servers = Servers::start("relay-oplog");
    let pipeline = pipeline(&servers, "oplog").await;
    let mut written = history(50, 4);
    pipeline.write(&written).await;
    let relay = pipeline.launch();
    pipeline.await_events(written.len()).await;
    roll_the_oplog(&pipeline).await;
    // The position was written down on the way, so a crash now loses nothing.
    until("a checkpoint since the roll", || async {
        relay.metric("relay_oplog_headroom_seconds").await.is_some_and(|headroom| headroom > 0.0)
    })
    .await;
    relay.kill();
    let after = history(50, 2);
    pipeline.write(&after).await;
    written.extend(after);
    let relay = pipeline.launch();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let lost = "relay_resume_token_lost_total{reason=\"history_lost\"}";
    assert_eq!(relay.metric(lost).await, Some(0.0), "the idle relay's position was lost");
    relay.kill();

    let while_down = history(50, 2);
    pipeline.write(&while_down).await;
    written.extend(while_down);
    roll_the_oplog(&pipeline).await;
    let relay = pipeline.launch();
    let meanwhile = history(500, 2);
    pipeline.write(&meanwhile).await;
    written.extend(meanwhile);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    assert_eq!(relay.metric(lost).await, Some(1.0));
    relay.kill();
}

/// The broker is frozen for longer than a transaction may stay open, and MongoDB steps
/// down, both under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_and_a_stepdown_cost_no_event() {
    let servers = Servers::start("relay-frozen");
    let pipeline = pipeline(&servers, "frozen").await;
    let mut settings = pipeline.settings();
    settings.insert("RELAY_TRANSACTION_TIMEOUT_MS".to_owned(), "4000".to_owned());
    let relay = Process::launch(&settings);
    relay.await_leading().await;
    let mut written = Vec::new();
    for round in 0..130 {
        let more = history(20, 5);
        pipeline.write(&more).await;
        written.extend(more);
        match round {
            30 => servers.signal("kafka", "STOP"),
            100 => servers.signal("kafka", "CONT"),
            70 | 115 => {
                let command = doc! { "replSetStepDown": 1, "force": true };
                pipeline.database.client().database("admin").run_command(command).await.ok();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let (_, figures) = relay.get("/metrics").await.unwrap();
    for line in figures.lines().filter(|line| line.starts_with("relay_publish_failures_total")) {
        println!("{line}");
    }
    relay.kill();
}

/// A backlog: the lag starts high and falls to nothing, and the memory stays bounded. It is
/// drained by a release build, which `make chaos-relay` makes.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_drained_in_bounded_memory() {
    let events: usize =
        std::env::var("RELAY_CHAOS_BACKLOG").map_or(1_000_000, |text| text.parse().unwrap());
    let servers =
        Servers::of_kind("relay-backlog", &Kind { oplog_megabytes: 8_000, ..Kind::default() });
    let pipeline = pipeline(&servers, "backlog").await;
    let relay = pipeline.launch();
    relay.await_ready().await;
    until("a checkpoint", || async {
        relay.metric("relay_checkpoint_age_seconds").await.is_some()
    })
    .await;
    relay.kill();
    let begun = Instant::now();
    for _ in 0..events / 5_000 {
        pipeline.write(&padded(history(500, 10))).await;
    }
    let relay = Process::launch_release(&pipeline.settings());
    until("it lags", || async { relay.metric("relay_lag_seconds").await.is_some() }).await;
    let lag = relay.metric("relay_lag_seconds").await.unwrap();
    assert!(lag > 0.7 * begun.elapsed().as_secs_f64(), "{lag} s after {:?}", begun.elapsed());
    let begun = Instant::now();
    loop {
        let lag = relay.metric("relay_lag_seconds").await.unwrap();
        if lag < 1.0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(900), "lag {lag} s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (seconds, memory) = (begun.elapsed().as_secs_f64(), relay.highest_memory());
    println!(
        "{events} events in {seconds:.1} s, {:.0}/s, in at most {:.1} MB",
        events as f64 / seconds,
        memory as f64 / 1e6
    );
    assert!(memory < 40_000_000, "{memory} bytes");
    relay.kill();
}

/// 1.3 KB each, as an average event.
fn padded(mut records: Vec<OutboxRecord>) -> Vec<OutboxRecord> {
    for record in &mut records {
        record.payload.push_str(&" ".repeat(1_300 - record.payload.len()));
    }
    records
}

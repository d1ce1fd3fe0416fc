//! Servers that go away while the relay works, on a set of servers of their own.

use std::time::{Duration, Instant};

use bson::doc;

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;
use crate::servers::Servers;

async fn pipeline(servers: &Servers, test: &str) -> Pipeline {
    Pipeline::on(test, servers.mongodb_url(), servers.kafka()).await
}

async fn await_lag(relay: &Process, what: &str, condition: impl Fn(f64) -> bool) {
    until(what, || async { relay.metric("relay_lag_seconds").await.is_some_and(&condition) }).await;
}

async fn lag(relay: &Process) -> f64 {
    relay.metric("relay_lag_seconds").await.expect("the lag is unknown")
}

/// All faults in one test, so that the servers start and stop once.
#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go() {
    let servers = Servers::start("relay-faults");
    kafka_away(&servers).await;
    mongodb_away(&servers).await;
    both_absent_at_the_start(&servers).await;
    paused(&servers).await;
}

/// Killed under load and away for a while: the lag says so, second by second; nothing
/// old is purged that was not published; afterwards all is there once.
async fn kafka_away(servers: &Servers) {
    let pipeline = pipeline(servers, "kafka_away").await;
    let mut settings = pipeline.settings();
    settings.insert("OUTBOX_RETENTION".to_owned(), "0s".to_owned());
    settings.insert("RELAY_TRANSACTION_TIMEOUT_MS".to_owned(), "5000".to_owned());
    let relay = Process::launch(&settings);
    await_lag(&relay, "idle and healthy", |lag| lag < 1.0).await;
    let mut written = history(50, 20);
    pipeline.write(&written[..500]).await;
    pipeline.await_events(500).await;
    pipeline.write(&written[500..]).await;
    servers.stack("kill", &["kafka"]);
    let during = history(50, 10);
    pipeline.write(&during).await;
    written.extend(during);

    await_lag(&relay, "the lag grows", |lag| lag > 2.0).await;
    let (before, begun) = (lag(&relay).await, Instant::now());
    // Longer than a transaction may take.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let grown = lag(&relay).await - before;
    let waited = begun.elapsed().as_secs_f64();
    assert!((grown - waited).abs() < 0.5, "grew by {grown} s in {waited} s");
    assert_eq!(relay.get("/ready").await.unwrap().0, 503);
    let left = pipeline.outbox().count_documents(doc! {}).await.unwrap();
    assert!(left >= 500, "{left}: unpublished events were purged");
    let count = async |name| relay.metric(name).await.unwrap_or(f64::NAN);
    until("pending is what the collection holds beyond the published", || async {
        let purged = count("relay_purged_events_total").await;
        let retained = relay.published().await - purged;
        count("relay_outbox_pending_events").await == left as f64 - retained
    })
    .await;

    servers.stack("start", &["kafka"]);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    await_lag(&relay, "caught up", |lag| lag < 1.0).await;
    until("ready again", || async { relay.get("/ready").await.unwrap().0 == 200 }).await;
    until("what is published is purged", || async {
        pipeline.outbox().count_documents(doc! {}).await.unwrap() == 0
    })
    .await;
    assert!(relay.terminate(Duration::from_secs(6)).await.success());
}

async fn mongodb_away(servers: &Servers) {
    let pipeline = pipeline(servers, "mongodb_away").await;
    let relay = pipeline.launch();
    let mut written = history(50, 20);
    pipeline.write(&written).await;
    pipeline.await_events(written.len()).await;
    await_lag(&relay, "idle and healthy", |lag| lag < 1.0).await;
    servers.stack("kill", &["mongodb"]);
    await_lag(&relay, "the lag grows", |lag| lag > 3.0).await;
    until("not ready", || async { relay.get("/ready").await.unwrap().0 == 503 }).await;
    servers.stack("start", &["mongodb"]);
    let after = history(50, 20);
    pipeline.write(&after).await;
    written.extend(after);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    await_lag(&relay, "caught up", |lag| lag < 1.0).await;

    // Stopping does not wait for a server that is away.
    servers.stack("kill", &["mongodb", "kafka"]);
    await_lag(&relay, "both are away", |lag| lag > 2.0).await;
    assert!(relay.terminate(Duration::from_secs(6)).await.success());
}

async fn both_absent_at_the_start(servers: &Servers) {
    let settings = {
        servers.stack("start", &["mongodb", "kafka"]);
        let pipeline = pipeline(servers, "absent").await;
        servers.stack("kill", &["mongodb", "kafka"]);
        pipeline
    };
    let relay = settings.launch();
    until("it answers", || async {
        relay.get("/ready").await.is_some_and(|(status, _)| status == 503)
    })
    .await;
    assert_eq!(relay.metric("relay_lag_known").await, Some(0.0));
    assert_eq!(relay.metric("relay_lag_seconds").await, None, "unknown is absent");
    servers.stack("start", &["kafka"]);
    servers.stack("start", &["mongodb"]);
    relay.await_ready().await;
    let written = history(10, 2);
    settings.write(&written).await;
    assert_exactly_once(&settings.await_events(written.len()).await, &written);
    relay.kill();
}

/// Of a relay that sleeps nothing is proven; once it is awake the figure is right.
async fn paused(servers: &Servers) {
    let pipeline = pipeline(servers, "asleep").await;
    let relay = pipeline.launch();
    await_lag(&relay, "idle and healthy", |lag| lag < 1.0).await;
    relay.signal("STOP");
    tokio::time::sleep(Duration::from_secs(4)).await;
    relay.signal("CONT");
    let woken = Instant::now();
    await_lag(&relay, "right again", |lag| lag < 1.0).await;
    assert!(woken.elapsed() < Duration::from_secs(3), "{:?}", woken.elapsed());
    relay.kill();
}

//! Clients of Kafka that would never find a broker again.

use std::time::{Duration, Instant};

use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, eventually};
use crate::documents::{event, user};
use crate::metadata_proxy::MetadataProxy;
use crate::process::Process;

/// confluentinc/librdkafka#5301: told that there is no broker, the consumer forgets the one it
/// knows, and by a race may never ask again.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_told_of_no_broker_comes_back() {
    let bed = Bed::new(1).await;
    let proxy = MetadataProxy::start(bed.config.kafka.kafka_bootstrap_servers.clone()).await;
    let process =
        Process::start_with(&bed.config, &[("KAFKA_BOOTSTRAP_SERVERS", &proxy.address())]);
    let ids = [Id::new(), Id::new()];
    bed.send([event(EventType::UserCreated, &user(ids[0], 1))]).await;
    bed.await_count("users", "TRUE", 1).await;

    // Again and again, until it loses the race or some seconds are over.
    proxy.deny_brokers(true);
    let begun = Instant::now();
    eventually("the client to give up", async || {
        let is_over = proxy.silence() > Duration::from_secs(2);
        if is_over || begun.elapsed() > Duration::from_secs(8) {
            Ok(())
        } else {
            Err("it asks".to_owned())
        }
    })
    .await;
    proxy.deny_brokers(false);
    bed.send([event(EventType::UserCreated, &user(ids[1], 1))]).await;
    bed.await_count("users", "TRUE", 2).await;
    process.await_ready(true).await;
    process.terminate().await;
    bed.clear().await;
}

/// The condition that the race above leads to, by force: no broker, although one accepts
/// connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_a_broker_is_replaced() {
    let bed = Bed::new(1).await;
    let proxy = MetadataProxy::start(bed.config.kafka.kafka_bootstrap_servers.clone()).await;
    let process =
        Process::start_with(&bed.config, &[("KAFKA_BOOTSTRAP_SERVERS", &proxy.address())]);
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 1).await;
    proxy.freeze(true);
    proxy.cut();
    eventually("a new consumer", async || {
        match process.metric("projector_kafka_clients_replaced_total", "").await {
            Some(replaced) if replaced >= 1.0 => Ok(()),
            replaced => Err(format!("{replaced:?}")),
        }
    })
    .await;
    proxy.freeze(false);
    proxy.cut();
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 2).await;
    process.await_ready(true).await;
    assert_eq!(process.metric("projector_stale_total", "").await, Some(0.0), "read again");
    process.terminate().await;
    bed.clear().await;
}

/// Whatever librdkafka waits for, SIGTERM ends the process (`terminate` allows ten seconds).
#[tokio::test(flavor = "multi_thread")]
async fn it_stops_although_no_broker_answers() {
    let bed = Bed::new(1).await;
    let proxy = MetadataProxy::start(bed.config.kafka.kafka_bootstrap_servers.clone()).await;
    let process =
        Process::start_with(&bed.config, &[("KAFKA_BOOTSTRAP_SERVERS", &proxy.address())]);
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 1).await;
    proxy.freeze(true);
    process.terminate().await;
    bed.clear().await;
}

/// With a name of its own, a projector that was killed need not wait until its session is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_named_member_does_not_wait_for_itself() {
    let bed = Bed::new(1).await;
    let named = [("PROJECTOR_INSTANCE_ID", "projector-0"), ("KAFKA_SESSION_TIMEOUT_MS", "60000")];
    let process = Process::start_with(&bed.config, &named);
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 1).await;
    process.kill().await;
    let begun = Instant::now();
    let process = Process::start_with(&bed.config, &named);
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 2).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
    process.terminate().await;
    bed.clear().await;
}

/// Of two that have one name by mistake, one ends and says so.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_of_one_name_one_ends() {
    let bed = Bed::new(1).await;
    let named = [("PROJECTOR_INSTANCE_ID", "projector-1"), ("KAFKA_SESSION_TIMEOUT_MS", "6000")];
    let two = [named, named].map(|named| Process::start_with(&bed.config, &named));
    let [mut one, mut other] = two;
    let (status, left) = tokio::select! {
        status = one.ended() => (status, other),
        status = other.ended() => (status, one),
    };
    assert!(!status.success(), "{status}");
    bed.send([event(EventType::UserCreated, &user(Id::new(), 1))]).await;
    bed.await_count("users", "TRUE", 1).await;
    left.terminate().await;
    bed.clear().await;
}

use std::time::Duration;

use shared::event::partition_of;
use shared::outbox::OutboxRecord;
use shared::{Id, Shard};

use crate::fixture::{Pipeline, assert_exactly_once, history, record, until};
use crate::process::Process;
use crate::reader;

fn launch(pipeline: &Pipeline, shards: &[&str]) -> Vec<Process> {
    shards.iter().map(|shard| pipeline.launch_shard(shard)).collect()
}

async fn stop(relays: Vec<Process>) {
    for relay in relays {
        // Drained means that it has seen the stream idle since its last event.
        until("nothing is left to publish", || async {
            relay.metric("relay_lag_seconds").await.is_some_and(|lag| lag < 1.0)
        })
        .await;
        assert!(relay.terminate(Duration::from_secs(10)).await.success());
    }
}

/// Together they publish each event once, in its entity's order; another number of them
/// begins where all of these have ended, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn shards_publish_each_event_once_and_their_number_changes_safely() {
    let pipeline = Pipeline::new("shards").await;
    let mut written = history(64, 5);
    pipeline.write(&written).await;
    let mut two = launch(&pipeline, &["0/2", "1/2"]);
    for relay in &two {
        relay.await_leading().await;
    }
    let more = history(64, 5);
    pipeline.write(&more).await;
    written.extend(more);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);

    let early = pipeline.launch_shard("2/3");
    until("a third shard is refused while the two run", || async {
        let ready = early.get("/ready").await;
        ready.is_some_and(|(status, text)| status == 503 && text.contains("former_division"))
    })
    .await;
    // One crashes and the other drains: still refused, for who knows what the first had.
    two.remove(0).kill();
    let after_the_crash = history(64, 1);
    pipeline.write(&after_the_crash).await;
    written.extend(after_the_crash);
    stop(two).await;
    let (status, _) = early.get("/ready").await.unwrap();
    assert_eq!(status, 503, "the crashed shard was not drained");
    early.kill();

    let two = launch(&pipeline, &["0/2", "1/2"]);
    pipeline.await_events(written.len()).await;
    stop(two).await;
    let three = launch(&pipeline, &["0/3", "1/3", "2/3"]);
    let later = history(64, 5);
    pipeline.write(&later).await;
    written.extend(later);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    stop(three).await;

    let one = pipeline.launch();
    let last = history(64, 2);
    pipeline.write(&last).await;
    written.extend(last);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let swept = "relay_resume_token_lost_total{reason=\"no_checkpoint\"}";
    assert_eq!(one.metric(swept).await, Some(0.0), "it went on, and did not sweep");
    one.kill();
    pipeline.drop().await;
}

/// A shard that has lost its place reads back what the topics hold. The partitions differ in
/// size, and in one that is soon read another shard goes on publishing: its end comes again
/// and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_sweeps_while_another_one_publishes() {
    const HELD: i64 = 30_000;
    let pipeline = Pipeline::new("uneven").await;
    let (large, small) = neighbours();
    let mut written: Vec<_> = (1..=HELD).map(|version| record(large, version)).collect();
    pipeline.write(&written).await;
    let mut two = launch(&pipeline, &["0/2", "1/2"]);
    pipeline.await_events(written.len()).await;
    two.remove(0).kill();
    reader::break_checkpoint(&pipeline).await;

    let sweeping = pipeline.launch_shard("0/2");
    let mut version = 0;
    until("the swept shard has taken over", || {
        version += 1;
        let next = record(small, version);
        written.push(next.clone());
        write_then(&pipeline, next, || sweeping.log().contains("the change stream has taken over"))
    })
    .await;
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let lost = "relay_resume_token_lost_total{reason=\"refused_token\"}";
    assert_eq!(sweeping.metric(lost).await, Some(1.0));
    sweeping.kill();
    pipeline.drop().await;
}

async fn write_then(pipeline: &Pipeline, next: OutboxRecord, seen: impl Fn() -> bool) -> bool {
    pipeline.write(&[next]).await;
    seen()
}

/// An entity of the first shard and one of the second, of one topic, in different partitions.
fn neighbours() -> (Id, Id) {
    let shard = |index: u32, id: &Id| {
        let shard: Shard = format!("{index}/2").parse().unwrap();
        shard.owns(&id.to_string())
    };
    let place = |id: &Id| {
        let partition = partition_of(&id.to_string(), 3).unwrap();
        (record(*id, 1).event_type.domain().topic(), partition)
    };
    let large = std::iter::repeat_with(Id::new).find(|id| shard(0, id)).unwrap();
    let (topic, partition) = place(&large);
    let small = std::iter::repeat_with(Id::new).find(|id| {
        let (its_topic, its_partition) = place(id);
        shard(1, id) && its_topic == topic && its_partition != partition
    });
    (large, small.unwrap())
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fixture::{PATIENCE, Pipeline, assert_exactly_once, chaos, history};
use crate::process::{Process, free_port};
use crate::reader::newest_checkpoint;

/// Under load the relay is killed at moments all over its life: starting, sweeping,
/// within a transaction, between two. Every event is there once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_publishes_each_event_once() {
    let kills = if chaos() { 50 } else { 12 };
    let pipeline = Arc::new(Pipeline::new("killed").await);
    let enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (pipeline, enough) = (pipeline.clone(), enough.clone());
        async move {
            let mut written = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let more = history(20, 20);
                for chunk in more.chunks(20) {
                    pipeline.write(chunk).await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                written.extend(more);
            }
            written
        }
    });
    let port = free_port();
    for life in 0..kills {
        let relay = Process::launch_at(port, &pipeline.settings());
        // Another moment of its life each time, from 0.3 s to 1.3 s.
        tokio::time::sleep(Duration::from_millis(300 + life * 337 % 1_000)).await;
        relay.kill();
    }
    enough.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    let relay = pipeline.launch();
    let seen = pipeline.await_events(written.len()).await;
    println!("{kills} kills, {} events, {} seen", written.len(), seen.len());
    assert_exactly_once(&seen, &written);
    relay.kill();
    Arc::into_inner(pipeline).unwrap().drop().await;
}

/// Events that come one by one are committed without a checkpoint for up to a second: what
/// follows the last one is found in the topics, by each of two successors.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_behind_the_checkpoint_is_not_published_again() {
    let pipeline = Pipeline::new("behind").await;
    let written = history(10, 3);
    let (first, rest) = written.split_at(1);
    let (behind, last) = rest.split_at(rest.len() - 1);
    let relay = pipeline.launch();
    pipeline.write(first).await;
    pipeline.await_events(1).await;
    for event in behind {
        pipeline.write(std::slice::from_ref(event)).await;
    }
    pipeline.await_events(written.len() - 1).await;
    relay.kill();
    let topic = pipeline.topic("outbox-relay-checkpoint");
    let checkpoint = newest_checkpoint(&pipeline.kafka, &topic).await;
    let counted = checkpoint.counters.published;
    assert!(counted < written.len() as u64 - 1, "{counted} are counted: none was left behind");
    let relay = pipeline.launch();
    pipeline.write(last).await;
    let seen = pipeline.await_events(written.len()).await;
    assert_exactly_once(&seen, &written);
    relay.kill();
    let relay = pipeline.launch();
    let more = history(1, 1);
    pipeline.write(&more).await;
    let all: Vec<_> = written.into_iter().chain(more).collect();
    let seen = pipeline.await_events(all.len()).await;
    assert_exactly_once(&seen, &all);
    assert!(relay.terminate(PATIENCE).await.success());
    // A clean stop writes down all there is.
    let checkpoint = newest_checkpoint(&pipeline.kafka, &topic).await;
    assert_eq!(checkpoint.counters.published, all.len() as u64);
    pipeline.drop().await;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fixture::{Pipeline, assert_exactly_once, chaos, history};
use crate::process::{Process, free_port};

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

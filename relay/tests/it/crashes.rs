use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fixture::{Pipeline, assert_exactly_once, history};
use crate::process::{Process, free_port};

/// Under load the relay is killed at moments all over its life: starting, sweeping,
/// within a transaction, between two. Every event is there once.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_publishes_each_event_once() {
    let pipeline = Arc::new(Pipeline::new("killed").await);
    let written = history(200, 100);
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (pipeline, written, done) = (pipeline.clone(), written.clone(), done.clone());
        async move {
            for chunk in written.chunks(20) {
                pipeline.write(chunk).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done.store(true, Ordering::Relaxed);
        }
    });
    let port = free_port();
    let mut lives = 0;
    while !done.load(Ordering::Relaxed) {
        let relay = Process::launch_at(port, &pipeline.settings());
        // Another moment of its life each time, from 0.3 s to 1.3 s.
        tokio::time::sleep(Duration::from_millis(300 + lives * 337 % 1_000)).await;
        relay.kill();
        lives += 1;
    }
    writer.await.unwrap();
    assert!(lives >= 5, "only {lives} kills");
    let relay = pipeline.launch();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    relay.kill();
    Arc::into_inner(pipeline).unwrap().drop().await;
}

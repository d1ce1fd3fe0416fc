//! Several instances, and a large backlog.

use std::time::Instant;

use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, Message, eventually};
use crate::documents::{event, post, user};
use crate::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_go_and_die_under_load() {
    let bed = Bed::new(6).await;
    let ids: Vec<_> = (0..500).map(|_| Id::new()).collect();
    let version = |version: i64| -> Vec<Message> {
        ids.iter().map(|id| event(EventType::UserUpdated, &user(*id, version))).collect()
    };
    let [first, second, third] = [1, 2, 3].map(|_| Process::start(&bed.config));
    bed.send(version(1)).await;
    bed.await_count("users", "version = 1", 500).await;
    bed.send(version(2)).await;
    first.kill().await;
    let fourth = Process::start(&bed.config);
    bed.send(version(3)).await;
    second.terminate().await;
    bed.send(version(4)).await;
    // The partitions of the killed one are free once its session is over.
    bed.await_count("users", "version = 4", 500).await;
    bed.await_count("projection_progress", "TRUE", 6).await;
    eventually("no lag", async || {
        let mut lag = Vec::new();
        for process in [&third, &fourth] {
            lag.push(process.metric("projector_consumer_lag", "").await);
        }
        let sum: f64 = lag.iter().flatten().sum();
        if sum == 0.0 && lag.iter().any(Option::is_some) { Ok(()) } else { Err(format!("{lag:?}")) }
    })
    .await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    third.terminate().await;
    fourth.terminate().await;
    bed.clear().await;
}

/// Batches grow to what the limits allow, and memory stays within its bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_drained_in_large_batches_and_little_memory() {
    const EVENTS: i64 = 30_000;
    let bed = Bed::new(3).await;
    for _ in 0..EVENTS / 2_000 {
        bed.send((0..2_000).map(|_| event(EventType::PostCreated, &post(Id::new(), 1)))).await;
    }
    let begun = Instant::now();
    let process = Process::start(&bed.config);
    eventually("a drained backlog", async || {
        match process.metric("projector_applied_total", "post").await {
            Some(applied) if applied as i64 == EVENTS => Ok(()),
            applied => Err(format!("{applied:?} applied")),
        }
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(bed.count("posts", "TRUE").await, EVENTS);
    let transactions = process.metric("projector_batch_size_count", "").await.unwrap();
    let memory = process.peak_memory_mb();
    println!("{EVENTS} events in {seconds:.1} s, {transactions} transactions, {memory} MB");
    assert!(memory < 60, "{memory} MB");
    let average = EVENTS as f64 / transactions;
    assert!(average > 1_000.0, "{average:.0} events a transaction");
    process.terminate().await;
    bed.clear().await;
}

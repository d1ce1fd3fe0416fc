//! What analysts and operators are told of how fresh the rows are.

use std::time::Instant;

use diesel_async::RunQueryDsl;
use projector::schema::projection_progress::dsl as progress;
use projector::tables::ProgressRow;
use shared::event::EventType;
use shared::{Id, Timestamp};

use crate::bed::{Bed, Message, eventually};
use crate::documents::user;
use crate::process::Process;

/// From the API's commit, which is the event's moment, to MySQL's: events that are 20 to
/// 24 seconds old when they are applied.
#[tokio::test(flavor = "multi_thread")]
async fn latency_counts_from_the_events_moment_and_progress_shows_it() {
    let bed = Bed::new(1).await;
    let sent = Instant::now();
    let newest = Timestamp::from_millis(Timestamp::now().millis() - 20_000).unwrap();
    let moments =
        (0..5).rev().map(|s| Timestamp::from_millis(newest.millis() - s * 1_000).unwrap());
    let old = |at| {
        let id = Id::new();
        Message::event(EventType::UserCreated, id, 1, at, &user(id, 1))
    };
    bed.send(moments.map(old)).await;
    let process = Process::start(&bed.config);
    bed.await_count("users", "version = 1", 5).await;
    eventually("five latencies", async || {
        match process.metric("projector_end_to_end_latency_seconds_count", "").await {
            Some(5.0) => Ok(()),
            count => Err(format!("{count:?}")),
        }
    })
    .await;
    let took = sent.elapsed().as_secs_f64();
    let sum = process.metric("projector_end_to_end_latency_seconds_sum", "").await.unwrap();
    let least = 20.0 + 21.0 + 22.0 + 23.0 + 24.0;
    assert!((least..least + 5.0 * took + 1.0).contains(&sum), "{sum} s after {took} s");

    let mut connection = bed.connection().await;
    let rows: Vec<ProgressRow> = progress::projection_progress.load(&mut connection).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&row.topic, row.partition), (&bed.config.kafka.topic("user"), 0));
    assert_eq!((row.offset, row.next_offset), (4, Some(5)));
    assert_eq!(row.event_timestamp, Some(newest.naive()));
    process.terminate().await;
    bed.clear().await;
}

use std::time::{Duration, Instant};

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::Process;
use crate::reader::Arrivals;
use shared::Timestamp;

/// Headers, key, value and topic of every event are as the API wrote them; what was
/// written before the first start and what comes later alike.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_as_it_was_written() {
    let pipeline = Pipeline::new("arrives").await;
    let mut written = history(20, 3);
    pipeline.write(&written).await;
    let running = pipeline.start();
    pipeline.await_events(written.len()).await;
    let later = history(20, 2);
    pipeline.write(&later).await;
    written.extend(later);

    let seen = pipeline.await_events(written.len()).await;
    assert_exactly_once(&seen, &written);
    for record in &written {
        let id = record.event_id.to_string();
        let event = seen.iter().find(|event| event.event_id() == id).unwrap();
        assert_eq!(event.topic, record.event_type.domain().topic());
        assert_eq!(event.key, record.entity_id.to_string());
        assert_eq!(event.value, record.payload);
        assert_eq!(event.header("event_type"), Some(record.event_type.as_str()));
        assert_eq!(event.header("version"), Some(record.version.to_string().as_str()));
        assert_eq!(event.header("traceparent"), record.traceparent.as_deref());
        assert_eq!(event.headers.len(), 3 + usize::from(record.traceparent.is_some()));
    }
    running.stop().await;
    pipeline.drop().await;
}

/// With nothing under way an event leaves at once: if a timer held it back, it would
/// hold back every one, the quickest included.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_event_is_not_kept_waiting() {
    let pipeline = Pipeline::new("lone").await;
    let relay = pipeline.launch();
    relay.await_ready().await;
    let mut arrivals = Arrivals::of(&pipeline).await;
    let mut latencies = Vec::new();
    for record in history(50, 1) {
        let written = Instant::now();
        pipeline.write(std::slice::from_ref(&record)).await;
        arrivals = arrivals.wait_for(record.event_id.to_string()).await;
        latencies.push(written.elapsed());
    }
    latencies.sort();
    println!(
        "from before the write to a reader: {:?} best, {:?} median",
        latencies[0], latencies[25]
    );
    assert!(latencies[0] < Duration::from_millis(40), "{latencies:?}");
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

/// Where transactions are kept apart: what comes meanwhile shares the next one, and whoever
/// comes after a pause does not wait.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_can_be_kept_apart() {
    const APART: Duration = Duration::from_secs(2);
    let pipeline = Pipeline::new("apart").await;
    let mut settings = pipeline.settings();
    let apart = APART.as_millis().to_string();
    settings.insert("RELAY_TRANSACTION_INTERVAL_MS".to_owned(), apart);
    let relay = Process::launch(&settings);
    // The sweep of a first start is over, and with it what is sent without a pause.
    until("a checkpoint", || async {
        relay.metric("relay_checkpoint_age_seconds").await.is_some()
    })
    .await;
    let mut arrivals = Arrivals::of(&pipeline).await;
    let mut written = history(21, 1);
    let begun = Instant::now();
    for record in &written {
        pipeline.write(std::slice::from_ref(record)).await;
    }
    arrivals = arrivals.wait_for(written[0].event_id.to_string()).await;
    assert!(begun.elapsed() < APART, "after a pause: {:?}", begun.elapsed());
    arrivals.wait_for(written[20].event_id.to_string()).await;
    assert!(begun.elapsed() > APART, "the next one came after {:?}", begun.elapsed());
    let transactions = relay.metric("relay_batch_size_count").await.unwrap();
    assert!(transactions <= 3.0, "{transactions} transactions");
    assert!(relay.terminate(Duration::from_secs(10)).await.success());

    // What is full does not wait: at this interval it would take longer than our patience.
    settings.insert("RELAY_TRANSACTION_INTERVAL_MS".to_owned(), "10000".to_owned());
    settings.insert("RELAY_BATCH_EVENTS".to_owned(), "1000".to_owned());
    let backlog = history(6_000, 2);
    pipeline.write(&backlog).await;
    written.extend(backlog);
    let relay = Process::launch(&settings);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_those_of_the_source() {
    let pipeline = Pipeline::new("figures").await;
    let written = history(10, 7);
    pipeline.write(&written).await;
    let relay = pipeline.launch();
    pipeline.await_events(written.len()).await;
    until("nothing is pending", || async {
        relay.metric("relay_outbox_pending_events").await == Some(0.0)
    })
    .await;
    assert_eq!(relay.published().await, 70.0);
    until("an idle healthy relay lags less than a second", || async {
        relay.metric("relay_lag_seconds").await.is_some_and(|lag| lag < 1.0)
    })
    .await;
    assert_eq!(relay.metric("relay_dead_events_total").await, Some(0.0));
    assert!(relay.metric("relay_checkpoint_age_seconds").await.unwrap() < 60.0);
    assert!(relay.metric("relay_oplog_headroom_seconds").await.unwrap() >= 0.0);
    relay.kill();
    pipeline.drop().await;
}

/// Lag is told by MongoDB's clock and ours; what a writer's clock says does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_with_a_wrong_clock_makes_no_lag() {
    let pipeline = Pipeline::new("skew").await;
    let relay = pipeline.launch();
    relay.await_ready().await;
    let mut written = Vec::new();
    for skew in [-3_600_000, 3_600_000] {
        let mut wrong = history(20, 2);
        for record in &mut wrong {
            let moment = Timestamp::now().millis() + skew;
            record.occurred_at = Timestamp::from_millis(moment).unwrap();
        }
        pipeline.write(&wrong).await;
        written.extend(wrong);
        pipeline.await_events(written.len()).await;
        until("the lag is right", || async {
            let lag = relay.metric("relay_lag_seconds").await;
            let pending = relay.metric("relay_outbox_pending_events").await;
            lag.is_some_and(|lag| (0.0..1.0).contains(&lag)) && pending == Some(0.0)
        })
        .await;
        let age = relay.metric("relay_oldest_pending_event_age_seconds").await;
        assert_eq!(age, Some(0.0), "nothing is pending");
    }
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    relay.kill();
    pipeline.drop().await;
}

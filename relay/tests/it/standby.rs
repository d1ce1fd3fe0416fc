use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::outbox::OutboxRecord;
use tokio::task::JoinHandle;

use crate::fixture::{Pipeline, assert_exactly_once, chaos, history, until};

/// Writes the history at 1,000 events a second.
fn write_steadily(pipeline: &Arc<Pipeline>, written: &[OutboxRecord]) -> JoinHandle<()> {
    let (pipeline, written) = (pipeline.clone(), written.to_vec());
    tokio::spawn(async move {
        for chunk in written.chunks(20) {
            pipeline.write(chunk).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

async fn published(relay: &crate::process::Process) -> f64 {
    let mut sum = 0.0;
    for topic in ["user", "supplier", "product", "order", "post"] {
        let name = format!("relay_published_total{{topic=\"{topic}\"}}");
        sum += relay.metric(&name).await.unwrap_or_default();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_five_seconds() {
    let pipeline = Arc::new(Pipeline::new("takeover").await);
    let leader = pipeline.launch();
    leader.await_leading().await;
    let standby = pipeline.launch();
    standby.await_ready().await;
    let written = history(100, 80);
    let writer = write_steadily(&pipeline, &written);
    until("the leader publishes", || async { published(&leader).await > 500.0 }).await;
    assert_eq!(standby.metric("relay_leader").await, Some(0.0));
    assert_eq!(published(&standby).await, 0.0, "a standby publishes nothing");

    leader.kill();
    let killed = Instant::now();
    until("the standby publishes", || async { published(&standby).await > 0.0 }).await;
    println!("the standby published {:?} after the kill", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    writer.await.unwrap();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    standby.kill();
    Arc::into_inner(pipeline).unwrap().drop().await;
}

/// A leader that was paused wakes up in the belief that it still leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_leader_wakes_up_fenced_and_stands_by() {
    let pipeline = Arc::new(Pipeline::new("paused").await);
    let paused = pipeline.launch();
    paused.await_leading().await;
    let standby = pipeline.launch();
    standby.await_ready().await;
    let written = history(100, 150);
    let writer = write_steadily(&pipeline, &written);
    until("the leader publishes", || async { published(&paused).await > 500.0 }).await;

    paused.signal("STOP");
    until("the standby publishes", || async { published(&standby).await > 0.0 }).await;
    let seconds = if chaos() { 30 } else { 5 };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    paused.signal("CONT");
    until("the paused one stands by", || async {
        paused.metric("relay_leader").await == Some(0.0)
    })
    .await;
    let awake = published(&paused).await;
    writer.await.unwrap();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    assert_eq!(published(&paused).await, awake, "it published nothing once it stood by");
    assert_eq!(standby.metric("relay_leader").await, Some(1.0));
    assert_eq!(paused.metric("relay_lag_known").await, Some(0.0), "it proves nothing any more");
    paused.kill();
    standby.kill();
    Arc::into_inner(pipeline).unwrap().drop().await;
}

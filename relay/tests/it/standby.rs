use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::outbox::OutboxRecord;
use tokio::task::JoinHandle;

use crate::fixture::{Pipeline, assert_exactly_once, chaos, history, until};
use crate::process::Process;

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

/// Two relays, with their roles. Who leads is not ours to choose: on a busy machine the
/// first one can lose the lease before it has published anything.
struct Pair {
    leader: Process,
    standby: Process,
}

impl Pair {
    /// Returns once the leader is at work, and the other is not.
    async fn under_load(pipeline: &Pipeline) -> Self {
        let (mut leader, mut standby) = (pipeline.launch(), pipeline.launch());
        standby.await_ready().await;
        until("one of them publishes", || async {
            leader.published().await + standby.published().await > 500.0
        })
        .await;
        if standby.metric("relay_leader").await == Some(1.0) {
            std::mem::swap(&mut leader, &mut standby);
        }
        assert_eq!(leader.metric("relay_leader").await, Some(1.0));
        assert_eq!(standby.metric("relay_leader").await, Some(0.0));
        Self { leader, standby }
    }
}

async fn await_takeover(standby: &Process, published_before: f64) {
    until("the standby publishes", || async { standby.published().await > published_before }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_five_seconds() {
    let pipeline = Arc::new(Pipeline::new("takeover").await);
    let written = history(100, 120);
    let writer = write_steadily(&pipeline, &written);
    let Pair { leader, standby } = Pair::under_load(&pipeline).await;
    let before = standby.published().await;

    leader.kill();
    let killed = Instant::now();
    await_takeover(&standby, before).await;
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
    let written = history(100, 200);
    let writer = write_steadily(&pipeline, &written);
    let Pair { leader: paused, standby } = Pair::under_load(&pipeline).await;
    let before = standby.published().await;

    paused.signal("STOP");
    await_takeover(&standby, before).await;
    let seconds = if chaos() { 30 } else { 5 };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    paused.signal("CONT");
    until("the paused one stands by", || async {
        paused.metric("relay_leader").await == Some(0.0)
    })
    .await;
    let awake = paused.published().await;
    writer.await.unwrap();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    assert_eq!(paused.published().await, awake, "it published nothing once it stood by");
    assert_eq!(standby.metric("relay_leader").await, Some(1.0));
    assert_eq!(paused.metric("relay_lag_known").await, Some(0.0), "it proves nothing any more");
    paused.kill();
    standby.kill();
    Arc::into_inner(pipeline).unwrap().drop().await;
}

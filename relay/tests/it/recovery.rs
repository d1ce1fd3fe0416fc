use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::reader;

/// Without its checkpoints the relay sweeps, and leaves out what the topics hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_topic_loses_and_doubles_nothing() {
    let pipeline = Pipeline::new("checkpoint").await;
    let mut written = history(50, 4);
    pipeline.write(&written).await;
    let running = pipeline.start();
    pipeline.await_events(written.len()).await;
    running.stop().await;

    reader::delete(
        &pipeline.kafka,
        &[pipeline.topic("outbox-relay-checkpoint")],
    )
    .await;
    let while_down = history(50, 2);
    pipeline.write(&while_down).await;
    written.extend(while_down);
    let relay = pipeline.launch();
    let meanwhile = history(500, 2);
    pipeline.write(&meanwhile).await;
    written.extend(meanwhile);

    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let lost = "relay_resume_token_lost_total{reason=\"no_checkpoint\"}";
    assert_eq!(relay.metric(lost).await, Some(1.0));
    relay.kill();
    pipeline.drop().await;
}

/// Dropped and made again, it is another collection: tokens of the old one mean nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_dropped_and_made_again_is_swept() {
    let pipeline = Pipeline::new("dropped").await;
    let mut written = history(50, 2);
    pipeline.write(&written).await;
    let relay = pipeline.launch();
    pipeline.await_events(written.len()).await;

    pipeline.outbox().drop().await.unwrap();
    let afterwards = history(300, 2);
    pipeline.write(&afterwards).await;
    written.extend(afterwards);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    until("nothing is pending", || async {
        relay.metric("relay_outbox_pending_events").await == Some(0.0)
    })
    .await;
    relay.kill();
    pipeline.drop().await;
}

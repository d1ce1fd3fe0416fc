use shared::outbox::OutboxRecord;

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::reader;

/// All of it is in the topics, and the relay is gone.
async fn published(test: &str, written: Vec<OutboxRecord>) -> (Pipeline, Vec<OutboxRecord>) {
    let pipeline = Pipeline::new(test).await;
    pipeline.write(&written).await;
    let relay = pipeline.launch();
    pipeline.await_events(written.len()).await;
    relay.kill();
    (pipeline, written)
}

/// Without its checkpoints the relay sweeps, and leaves out what the topics hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_checkpoint_topic_loses_and_doubles_nothing() {
    let pipeline = Pipeline::new("checkpoint").await;
    let mut written = history(50, 4);
    pipeline.write(&written).await;
    let running = pipeline.start();
    pipeline.await_events(written.len()).await;
    running.stop().await;

    reader::delete(&pipeline.kafka, &[pipeline.topic("outbox-relay-checkpoint")]).await;
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

/// What a restored dump looks like: the same database, the collection made anew, older
/// than what the topics already hold; and it is written to while the relay recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_dump_is_swept() {
    let (pipeline, mut written) = published("restored", history(50, 4)).await;

    pipeline.outbox().drop().await.unwrap();
    let dump = &written[..120];
    pipeline.write(dump).await;
    let unpublished_in_the_dump = history(50, 2);
    pipeline.write(&unpublished_in_the_dump).await;
    let relay = pipeline.launch();
    let meanwhile = history(500, 3);
    for chunk in meanwhile.chunks(50) {
        pipeline.write(chunk).await;
    }
    written.extend(unpublished_in_the_dump);
    written.extend(meanwhile);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let lost = "relay_resume_token_lost_total{reason=\"other_database\"}";
    assert_eq!(relay.metric(lost).await, Some(1.0));
    until("nothing is pending", || async {
        relay.metric("relay_outbox_pending_events").await == Some(0.0)
    })
    .await;
    relay.kill();
    pipeline.drop().await;
}

/// Before the fresh stream is opened, between that and the moment that is swept, and later:
/// whoever brings it, it comes once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_all_through_a_recovery_comes_once() {
    let (pipeline, mut written) = published("busy", history(50, 20)).await;
    pipeline.outbox().drop().await.unwrap();

    let relay = pipeline.launch();
    let mut left = history(20, 1_000).into_iter();
    let mut after = 0;
    while after < 200 {
        let record = left.next().expect("a recovery takes less than 20,000 writes");
        pipeline.write(std::slice::from_ref(&record)).await;
        written.push(record);
        if after > 0 || relay.log().contains("the change stream has taken over") {
            after += 1;
        }
    }
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let lost = "relay_resume_token_lost_total{reason=\"other_database\"}";
    assert_eq!(relay.metric(lost).await, Some(1.0));
    relay.kill();
    pipeline.drop().await;
}

/// A token that MongoDB takes for none, in a checkpoint that is otherwise whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_token_is_swept_over() {
    let pipeline = Pipeline::new("token").await;
    let mut written = history(50, 4);
    pipeline.write(&written).await;
    let running = pipeline.start();
    pipeline.await_events(written.len()).await;
    running.stop().await;

    reader::break_checkpoint(&pipeline).await;
    let while_down = history(50, 2);
    pipeline.write(&while_down).await;
    written.extend(while_down);
    let relay = pipeline.launch();
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    let (_, figures) = relay.get("/metrics").await.unwrap();
    let lost: Vec<_> = figures
        .lines()
        .filter(|line| line.starts_with("relay_resume_token_lost_total"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert!(matches!(lost[..], [line] if line.ends_with(" 1")), "{lost:?}");
    relay.kill();
    pipeline.drop().await;
}

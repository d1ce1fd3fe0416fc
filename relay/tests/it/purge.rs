use std::time::Duration;

use bson::doc;
use shared::Timestamp;
use shared::outbox::OutboxRecord;

use crate::fixture::{Pipeline, assert_exactly_once, history, until};

/// As if it had been written a month ago.
fn aged(mut records: Vec<OutboxRecord>) -> Vec<OutboxRecord> {
    let month_ago = Timestamp::now().millis() - 30 * 24 * 3_600 * 1_000;
    for record in &mut records {
        record.occurred_at = Timestamp::from_millis(month_ago).unwrap();
    }
    records
}

/// Old and published goes; old and unpublished stays, until it is published; young stays.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_published_and_old_enough_is_purged() {
    let pipeline = Pipeline::new("purge").await;
    let mut written = aged(history(300, 10));
    pipeline.write(&written).await;
    let relay = pipeline.launch();
    relay.await_leading().await;
    // While it runs, old events keep coming in: the purge meets them before, while and
    // after they are published.
    for chunk in aged(history(300, 10)).chunks(50) {
        pipeline.write(chunk).await;
        written.extend_from_slice(chunk);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let young = history(10, 2);
    pipeline.write(&young).await;
    written.extend(young.iter().cloned());

    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    until("the old are purged", || async {
        pipeline.outbox().count_documents(doc! {}).await.unwrap() == young.len() as u64
    })
    .await;
    until("they are counted", || async {
        relay.metric("relay_purged_events_total").await == Some(6_000.0)
            && relay.metric("relay_outbox_pending_events").await == Some(0.0)
    })
    .await;
    relay.kill();
    pipeline.drop().await;
}

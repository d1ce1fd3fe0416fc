use bson::{Document, RawDocumentBuf, doc};
use shared::outbox::OutboxRecord;

use crate::fixture::{Pipeline, assert_exactly_once, history, until};

fn damaged(record: &OutboxRecord, damage: impl FnOnce(&mut Document)) -> RawDocumentBuf {
    let mut document = Document::try_from(record.to_bson()).unwrap();
    damage(&mut document);
    RawDocumentBuf::try_from(&document).unwrap()
}

/// Each kind goes to `outbox_dead` with its reason; its neighbours are published.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_kafka_will_never_take_is_set_aside() {
    let pipeline = Pipeline::new("dead").await;
    let relay = pipeline.launch();
    let good = history(30, 2);
    let poison = history(4, 1);
    let huge = "x".repeat(5 << 20);
    let bad = [
        damaged(&poison[0], |record| drop(record.insert("topic", "payment"))),
        damaged(&poison[1], |record| drop(record.remove("payload"))),
        damaged(&poison[2], |record| drop(record.insert("payload", huge))),
        damaged(&poison[3], |record| drop(record.insert("_id", 17))),
    ];
    pipeline.write(&good[..30]).await;
    pipeline.outbox().insert_many(bad).await.unwrap();
    pipeline.write(&good[30..]).await;

    assert_exactly_once(&pipeline.await_events(good.len()).await, &good);
    until("four dead records", || async {
        relay.metric("relay_dead_events_total").await == Some(4.0)
    })
    .await;
    for (reason, count) in [("unknown_topic", 1), ("broken_record", 2), ("too_large", 1)] {
        let found = pipeline
            .dead()
            .count_documents(doc! { "reason": reason })
            .await
            .unwrap();
        assert_eq!(found, count, "{reason}");
    }
    let filter = doc! { "reason": "unknown_topic" };
    let dead = pipeline.dead().find_one(filter).await.unwrap().unwrap();
    let kept = dead.get_document("record").unwrap();
    assert_eq!(
        kept.get_str("payload").unwrap(),
        poison[0].payload,
        "nothing of it is lost"
    );
    let left = pipeline.outbox().count_documents(doc! {}).await.unwrap();
    assert_eq!(left, good.len() as u64, "the dead are gone from the outbox");
    relay.kill();
    pipeline.drop().await;
}

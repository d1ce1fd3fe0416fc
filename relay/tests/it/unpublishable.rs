use std::collections::BTreeMap;

use bson::{Document, RawDocumentBuf, doc};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use shared::event::Domain;
use shared::outbox::OutboxRecord;

use crate::fixture::{PATIENCE, Pipeline, assert_exactly_once, history, until};
use crate::process::Process;
use crate::reader;

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
        let found = pipeline.dead().count_documents(doc! { "reason": reason }).await.unwrap();
        assert_eq!(found, count, "{reason}");
    }
    let filter = doc! { "reason": "unknown_topic" };
    let dead = pipeline.dead().find_one(filter).await.unwrap().unwrap();
    let kept = dead.get_document("record").unwrap();
    assert_eq!(kept.get_str("payload").unwrap(), poison[0].payload, "nothing of it is lost");
    let left = pipeline.outbox().count_documents(doc! {}).await.unwrap();
    assert_eq!(left, good.len() as u64, "the dead are gone from the outbox");
    relay.kill();
    pipeline.drop().await;
}

/// The topics are there before, and take less than the relay would hand them.
async fn with_narrow_topics(name: &str) -> Pipeline {
    let pipeline = Pipeline::new(name).await;
    let topics = Domain::ALL.map(|domain| pipeline.topic(domain.topic()));
    let narrow =
        |name| NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "20000");
    let wanted: Vec<_> = topics.iter().map(|name| narrow(name.as_str())).collect();
    let admin = reader::admin(&pipeline.kafka);
    for created in admin.create_topics(&wanted, &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
    pipeline
}

/// Records that share a request with the guilty one are refused with it, and must not die.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_only_the_broker_refuses_dies_alone() {
    let pipeline = with_narrow_topics("refused").await;
    let mut written = history(40, 2);
    written[37].payload.push_str(&" ".repeat(50_000));
    written[63].payload.push_str(&" ".repeat(50_000));
    pipeline.write(&written).await;
    let (dead, good): (Vec<_>, Vec<_>) =
        written.into_iter().partition(|record| record.payload.len() > 50_000);

    let relay = pipeline.launch();
    assert_exactly_once(&pipeline.await_events(good.len()).await, &good);
    until("two dead records", || async {
        relay.metric("relay_dead_events_total").await == Some(2.0)
    })
    .await;
    for record in dead {
        let id = shared::outbox::binary(record.event_id);
        let found = pipeline.dead().find_one(doc! { "_id": id }).await.unwrap().unwrap();
        assert_eq!(found.get_str("reason").unwrap(), "refused_by_kafka");
    }
    relay.kill();
    pipeline.drop().await;
}

/// What a relay has published before it was stopped, and its settings: what is written now
/// is a backlog that the stream brings, not a sweep.
async fn after_a_stop(pipeline: &Pipeline) -> (Vec<OutboxRecord>, BTreeMap<String, String>) {
    let first = history(1, 1);
    let mut settings = pipeline.settings();
    settings.insert("RELAY_BATCH_BYTES".to_owned(), "65536".to_owned());
    let relay = Process::launch(&settings);
    pipeline.write(&first).await;
    pipeline.await_events(first.len()).await;
    assert!(relay.terminate(PATIENCE).await.success());
    (first, settings)
}

async fn await_dead(pipeline: &Pipeline, records: u64) {
    until(&format!("{records} dead records"), || async {
        pipeline.dead().count_documents(doc! {}).await.unwrap() == records
    })
    .await;
}

/// A backlog goes in large transactions, whose portions are not kept. What stands in the
/// midst of one is found all the same, by reading it again; nothing is sent twice for that.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_midst_of_a_backlog_the_guilty_die_alone() {
    let pipeline = with_narrow_topics("midst").await;
    let (first, settings) = after_a_stop(&pipeline).await;
    let mut written = history(300, 20);
    for refused in [2_000, 2_001, 4_500] {
        written[refused].payload.push_str(&" ".repeat(50_000));
    }
    let broken = history(1, 1);
    let without_payload = damaged(&broken[0], |record| drop(record.remove("payload")));
    pipeline.write(&written[..3_000]).await;
    pipeline.outbox().insert_one(without_payload).await.unwrap();
    pipeline.write(&written[3_000..]).await;
    written.retain(|record| record.payload.len() < 50_000);

    let relay = Process::launch(&settings);
    let all = [first, written].concat();
    assert_exactly_once(&pipeline.await_events(all.len()).await, &all);
    await_dead(&pipeline, 4).await;
    for (reason, count) in [("refused_by_kafka", 3), ("broken_record", 1)] {
        let found = pipeline.dead().count_documents(doc! { "reason": reason }).await.unwrap();
        assert_eq!(found, count, "{reason}");
    }
    assert!(relay.log().contains("starting again from the checkpoint"), "no large transaction");
    relay.kill();
    pipeline.drop().await;
}

/// However many portions a backlog has.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_in_few_transactions() {
    let pipeline = Pipeline::new("portions").await;
    let (first, settings) = after_a_stop(&pipeline).await;
    let backlog = history(500, 20);
    pipeline.write(&backlog).await;
    let relay = Process::launch(&settings);
    let all = [first, backlog].concat();
    assert_exactly_once(&pipeline.await_events(all.len()).await, &all);
    until("all counted", || async { relay.metric("relay_batch_size_sum").await == Some(10_000.0) })
        .await;
    let transactions = relay.metric("relay_batch_size_count").await.unwrap();
    assert!(transactions <= 20.0, "{transactions} transactions for 10,000 events");
    relay.kill();
    pipeline.drop().await;
}

/// Nothing is left of a transaction whose only record is refused: its place is passed all
/// the same, or the relay would come back to it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_nothing_but_refused_records_is_passed() {
    let pipeline = with_narrow_topics("alone").await;
    let (first, settings) = after_a_stop(&pipeline).await;
    // Two of them fill a portion: of five in a row, some are alone in theirs.
    let mut written = history(200, 10);
    let refused = (100..2_000).step_by(300).flat_map(|begin| begin..begin + 5);
    for number in refused {
        written[number].payload.push_str(&" ".repeat(50_000));
    }
    pipeline.write(&written).await;
    written.retain(|record| record.payload.len() < 50_000);
    let relay = Process::launch(&settings);
    let all = [first, written].concat();
    assert_exactly_once(&pipeline.await_events(all.len()).await, &all);
    await_dead(&pipeline, 35).await;
    let died = relay.metric("relay_dead_events_total").await;
    assert_eq!(died, Some(35.0), "it came back to some that had died");
    relay.kill();
    pipeline.drop().await;
}

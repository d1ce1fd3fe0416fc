//! MySQL decides where reading begins: stores that went back in time, or lost records.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::Id;
use shared::event::EventType;

use crate::bed::{Bed, Message, eventually};
use crate::documents::{deletion, event, order, user};
use crate::own_mysql::OwnMysql;
use crate::process::Process;
use crate::sink::{Sink, record};

fn users(ids: &[Id], version: i64) -> Vec<Message> {
    ids.iter().map(|id| event(EventType::UserUpdated, &user(*id, version))).collect()
}

fn ids(count: usize) -> Vec<Id> {
    (0..count).map(|_| Id::new()).collect()
}

async fn await_metric(process: &Process, name: &str, labels: &str, expected: f64) {
    eventually(&format!("{name} {labels} {expected}"), async || {
        match process.metric(name, labels).await {
            Some(value) if value == expected => Ok(()),
            value => Err(format!("{value:?}")),
        }
    })
    .await;
}

/// A consumer of the projector's group that never joins it.
fn outsider(bed: &Bed) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", &bed.config.kafka.kafka_bootstrap_servers)
        .set("group.id", &bed.config.group.kafka_group_id)
        .create()
        .unwrap()
}

fn first_partition(bed: &Bed, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&bed.config.kafka.topic("user"), 0, offset).unwrap();
    list
}

/// What the group has committed of the first partition: offset and metadata.
fn committed(bed: &Bed) -> (Option<i64>, String) {
    let list = first_partition(bed, Offset::Invalid);
    let list = outsider(bed).committed_offsets(list, Duration::from_secs(10)).unwrap();
    let elements = list.elements();
    (elements[0].offset().to_raw(), elements[0].metadata().to_owned())
}

async fn await_committed(bed: &Bed, offset: i64, metadata: &str) {
    eventually(&format!("the group at {offset} with {metadata:?}"), async || {
        match tokio::task::block_in_place(|| committed(bed)) {
            seen if seen == (Some(offset), metadata.to_owned()) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
}

async fn delete_records(bed: &Bed, before: i64) {
    let list = first_partition(bed, Offset::Offset(before));
    bed.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
}

async fn recreate_topics(bed: &Bed) {
    let topic = bed.config.kafka.topic("user");
    bed.admin().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    eventually("the topic to be made again", async || bed.try_create_topic("user", 1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_put_back_to_an_earlier_copy_catches_up_by_itself() {
    let server = OwnMysql::for_faults().await;
    let bed = server.instead(Bed::without_topics());
    bed.create_topics(2).await;
    let process = Process::start(&bed.config);
    let ids = ids(20);
    bed.send(users(&ids, 1)).await;
    bed.await_count("users", "version = 1", 20).await;
    server.control("stop").await;
    server.back_up().await;
    server.control("start").await;
    bed.send(users(&ids, 2)).await;
    bed.send([deletion(EventType::UserDeleted, ids[0], 3)]).await;
    bed.await_count("users", "version = 2 AND deleted_at IS NULL", 19).await;

    server.control("stop").await;
    server.restore().await;
    server.control("start").await;
    // Nothing is written meanwhile, and nobody does anything.
    bed.await_count("users", "version = 2 AND deleted_at IS NULL", 19).await;
    let rewound = process.metric("projector_rewound_total", "cause=\"mysql\"").await;
    assert!(rewound.is_some_and(|rewound| rewound >= 1.0), "{rewound:?}");
    assert_eq!(process.metric("projector_lost_records_total", "").await, Some(0.0));

    // It may also go back while the projector has records in hand.
    server.control("stop").await;
    bed.send(users(&ids[1..], 4)).await;
    server.restore().await;
    server.control("start").await;
    bed.await_count("users", "version = 4", 19).await;
    bed.await_count("users", "deleted_at IS NOT NULL", 1).await;
    assert_eq!(bed.dead_letters(0).await.len(), 0);
    process.terminate().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_mysql_fills_itself() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(9), 1)).await;
    bed.await_count("users", "TRUE", 9).await;
    bed.sql("TRUNCATE users; TRUNCATE projection_progress").await;
    bed.await_count("users", "TRUE", 9).await;
    process.terminate().await;
    bed.clear().await;
}

/// Neither offsets that were set beyond what is applied, nor offsets that are gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_groups_offsets_decide_nothing() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(5), 1)).await;
    bed.await_count("users", "TRUE", 5).await;
    process.terminate().await;
    bed.send(users(&ids(5), 1)).await;
    let end = first_partition(&bed, Offset::Offset(10));
    outsider(&bed).commit(&end, CommitMode::Sync).unwrap();
    let process = Process::start(&bed.config);
    bed.await_count("users", "TRUE", 10).await;
    process.terminate().await;

    let group = bed.config.group.kafka_group_id.as_str();
    bed.admin().delete_groups(&[group], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let process = Process::start(&bed.config);
    bed.send(users(&ids(5), 1)).await;
    bed.await_count("users", "TRUE", 15).await;
    assert_eq!(process.metric("projector_stale_total", "").await, Some(0.0), "read again");
    await_committed(&bed, 15, "").await;
    process.terminate().await;
    bed.clear().await;
}

#[derive(QueryableByName, Debug, PartialEq)]
struct Loss {
    #[diesel(sql_type = BigInt)]
    from_offset: i64,
    #[diesel(sql_type = BigInt)]
    to_offset: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn records_deleted_unread_are_reported() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(3), 1)).await;
    bed.await_count("users", "TRUE", 3).await;
    process.terminate().await;

    bed.send(users(&ids(20), 1)).await;
    delete_records(&bed, 13).await;
    let process = Process::start(&bed.config);
    bed.await_count("users", "TRUE", 13).await;
    let partition = format!("partition=\"0\",topic=\"{}\"", bed.config.kafka.topic("user"));
    await_metric(&process, "projector_lost_records_total", &partition, 10.0).await;
    await_committed(&bed, 23, "lost=3-13").await;

    // While it runs: the first one answers the request that is on its way, the others are gone
    // before the next request.
    process.signal("STOP").await;
    bed.send(users(&ids(1), 1)).await;
    bed.send(users(&ids(5), 1)).await;
    delete_records(&bed, 29).await;
    process.signal("CONT").await;
    await_metric(&process, "projector_lost_records_total", &partition, 15.0).await;
    await_committed(&bed, 29, "lost=3-13,24-29").await;
    let losses = "SELECT from_offset, to_offset FROM projection_losses ORDER BY 1";
    let (first, second) =
        (Loss { from_offset: 3, to_offset: 13 }, Loss { from_offset: 24, to_offset: 29 });
    assert_eq!(bed.rows::<Loss>(losses).await, [first, second]);
    await_metric(&process, "projector_unacknowledged_lost_records", &partition, 15.0).await;

    // Somebody has mended it: it is told of no more, and not noticed once more.
    bed.sql("UPDATE projection_losses SET acknowledged_at = UTC_TIMESTAMP(6)").await;
    await_metric(&process, "projector_unacknowledged_lost_records", &partition, 0.0).await;
    await_committed(&bed, 29, "").await;
    process.terminate().await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(1), 1)).await;
    bed.await_count("users", "TRUE", 15).await;
    assert_eq!(process.metric("projector_lost_records_total", "").await, Some(0.0));
    process.terminate().await;
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_and_created_again_is_read_from_its_beginning() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(5), 1)).await;
    bed.await_count("users", "TRUE", 5).await;
    process.terminate().await;
    // Longer than the former one: only the event at its end tells.
    recreate_topics(&bed).await;
    bed.send(users(&ids(8), 1)).await;
    let process = Process::start(&bed.config);
    bed.await_count("users", "TRUE", 13).await;
    await_metric(&process, "projector_rewound_total", "cause=\"topic\"", 1.0).await;

    // While it runs: shorter.
    recreate_topics(&bed).await;
    bed.send(users(&ids(2), 1)).await;
    bed.await_count("users", "TRUE", 15).await;
    assert_eq!(process.metric("projector_lost_records_total", "").await, Some(0.0));
    process.terminate().await;
    bed.clear().await;
}

/// Otherwise it would be read, refused and put aside again after each restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_is_dealt_with_once() {
    let bed = Bed::new(1).await;
    let process = Process::start(&bed.config);
    let numbered = |id| event(EventType::OrderCreated, &order(id, "ORD-20260101-AAAA", 1, &["a"]));
    bed.send([numbered(Id::new())]).await;
    bed.await_count("orders", "TRUE", 1).await;
    bed.send([numbered(Id::new())]).await;
    assert_eq!(bed.dead_letters(1).await.len(), 1);
    process.terminate().await;
    let process = Process::start(&bed.config);
    bed.send(users(&ids(1), 1)).await;
    bed.await_count("users", "TRUE", 1).await;
    let of_order = format!("topic = '{}' AND `offset` = 1", bed.config.kafka.topic("order"));
    bed.await_count("projection_progress", &of_order, 1).await;
    process.terminate().await;
    assert_eq!(bed.dead_letters(1).await.len(), 1);
    bed.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_finishes_late_sets_nothing_back() {
    let bed = Bed::without_topics();
    projector::database::prepare(&bed.config.mysql).await.unwrap();
    let mut sink = Sink::new(&bed.config.mysql).await;
    for (offset, version) in [(9, 2), (4, 1)] {
        let message = event(EventType::UserUpdated, &user(Id::new(), version));
        sink.apply(vec![record(&message, "", offset)]).await.unwrap();
    }
    assert_eq!(bed.count("projection_progress", "`offset` = 9 AND next_offset = 10").await, 1);
    bed.drop_database().await;
}

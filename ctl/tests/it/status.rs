use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use shared::{Id, Timestamp};

use crate::documents::{product, user};
use crate::kafka::{TIMEOUT, client, create_topic, delete_topics};
use crate::stack::{Run, Stack};

/// Transactions of three records each, into both partitions; the last one is aborted.
fn publish(topic: &str) {
    let mut config = client();
    let producer: BaseProducer = config.set("transactional.id", topic).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    for transaction in 0..4 {
        producer.begin_transaction().unwrap();
        for record in 0..3 {
            let record = BaseRecord::<(), str>::to(topic).payload("{}").partition(record % 2);
            producer.send(record).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
        match transaction {
            3 => producer.abort_transaction(TIMEOUT).unwrap(),
            _ => producer.commit_transaction(TIMEOUT).unwrap(),
        }
    }
}

fn commit(topic: &str, group: &str, partition: i32, offset: i64) {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

fn domain<'a>(status: &'a Value, name: &str) -> &'a Value {
    let domains = status["domains"].as_array().unwrap();
    domains.iter().find(|it| it["domain"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_documents_events_and_rows() {
    let stack = Stack::new().await;
    let mut gone = user();
    gone.deleted_at = Some(Timestamp::now());
    stack.store_with_user_row(&gone).await;
    stack.store_with_user_row(&user()).await;
    stack.store(&product(Id::new())).await;
    let outbox = stack.mongodb.collection("outbox");
    outbox.insert_many([bson::doc! {"topic": "user"}, bson::doc! {"topic": "user"}]).await.unwrap();
    let topic = format!("{}.user", stack.name);
    create_topic(&topic, 2).await;
    publish(&topic);

    let status = stack.outboxctl(&["status", "--json"]).await.json();
    let users = domain(&status, "user");
    assert_eq!(users["documents"], json!({"total": 2, "live": 1, "due": 2}), "{status:#}");
    assert_eq!((&users["outbox"], &users["rows"]), (&json!(2), &json!(2)), "{status:#}");
    let nine = json!({"records": 9, "exact": true});
    assert_eq!(users["topic"], json!({"events": nine, "consumer_lag": nine}), "{status:#}");
    let products = domain(&status, "product");
    assert_eq!(products["documents"], json!({"total": 1, "live": 1, "due": 1}));
    assert_eq!((&products["topic"], &products["rows"]), (&Value::Null, &json!(0)));

    // Partition 0: 2 records and a marker, three times, so the sixth record is at 7.
    // Behind it there are only markers and what was aborted: nothing to apply.
    commit(&topic, &stack.name, 0, 8);
    let status = stack.outboxctl(&["status", "--json"]).await.json();
    let lag = &domain(&status, "user")["topic"]["consumer_lag"];
    assert_eq!(lag, &json!({"records": 3, "exact": true}), "{status:#}");
    delete_topics(&[&topic]).await;
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_is_named_and_fails_only_a_check() {
    let stack = Stack::new().await;
    let away = [
        ("MONGODB_URL", "mongodb://user:s3cret@127.0.0.1:1/"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("MYSQL_PORT", "1"),
        ("MYSQL_PASSWORD", "s3cret"),
        ("API_URL", "http://127.0.0.1:1"),
        ("RELAY_URL", "http://127.0.0.1:1"),
        ("PROJECTOR_URL", "http://127.0.0.1:1"),
    ];
    let run = |arguments| {
        let child = stack.start(arguments, &away);
        async { Run::from(child.wait_with_output().await.unwrap()) }
    };
    let begun = Instant::now();
    let json = run(&["status", "--json"]).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let status = json.json();
    assert_eq!((json.code, &status["healthy"]), (Some(0), &json!(false)));
    for server in status["servers"].as_array().unwrap() {
        assert!(server["problem"].is_string(), "{server}");
    }
    assert_eq!(domain(&status, "order")["rows"], Value::Null);

    let text = run(&["status", "--check"]).await;
    assert_eq!(text.code, Some(1));
    for problem in [
        "6 problems",
        "mongodb: no primary answers",
        "kafka: no broker answers",
        "mysql: Connection refused",
        "api: not reachable",
        "relay: not reachable",
        "projector: not reachable",
    ] {
        assert!(text.stdout.contains(problem), "{problem}: {}", text.stdout);
    }
    assert!(!format!("{}{}", text.stdout, text.stderr).contains("s3cret"));
    assert_eq!(text.stderr, "", "a driver's own lines");
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_reports_and_what_was_refused_comes_first() {
    let stack = Stack::new().await;
    let now = bson::DateTime::now();
    let a_minute_ago = bson::DateTime::from_millis(now.timestamp_millis() - 60_000);
    let reported = bson::doc! {
        "_id": "0/1",
        "at": now,
        "published_through": bson::Timestamp { time: 9, increment: 1 },
        "obstacle": { "server": "kafka", "reason": "no leader", "since": a_minute_ago },
        "lost": [{ "topic": "post", "partition": 2, "from_offset": 5_i64, "to_offset": 9_i64,
            "through": bson::Timestamp { time: 9, increment: 1 } }],
    };
    stack.mongodb.collection("watermarks").insert_one(reported).await.unwrap();
    stack.mongodb.collection("outbox_dead").insert_one(bson::doc! {}).await.unwrap();
    let run = stack.outboxctl(&["status"]).await;
    for problem in [
        "relay 0/1: held up by kafka for 6",
        "no leader",
        "post[2] 5 to 8 were deleted",
        "dead events: 1;",
    ] {
        let at = run.stdout.find(problem).unwrap_or_else(|| panic!("{problem}: {}", run.stdout));
        assert!(at < run.stdout.find("due in MySQL").unwrap(), "{}", run.stdout);
    }
    stack.drop().await;
}

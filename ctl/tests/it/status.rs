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
    assert_eq!(users["documents"], json!({"total": 2, "live": 1}), "{status:#}");
    assert_eq!((&users["outbox"], &users["rows"]), (&json!(2), &json!(2)), "{status:#}");
    let nine = json!({"records": 9, "exact": true});
    assert_eq!(users["topic"], json!({"events": nine, "consumer_lag": nine}), "{status:#}");
    let products = domain(&status, "product");
    assert_eq!(products["documents"], json!({"total": 1, "live": 1}));
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
    let json = run(&["status", "--json"]).await;
    let status = json.json();
    assert_eq!((json.code, &status["healthy"]), (Some(0), &json!(false)));
    for server in status["servers"].as_array().unwrap() {
        assert!(server["problem"].is_string(), "{server}");
    }
    assert_eq!(domain(&status, "order")["rows"], Value::Null);

    let text = run(&["status", "--check"]).await;
    assert_eq!(text.code, Some(1));
    for name in ["mongodb", "kafka", "mysql", "api", "relay", "projector"] {
        assert!(text.stdout.contains(name), "{}", text.stdout);
    }
    assert!(!format!("{}{}", text.stdout, text.stderr).contains("s3cret"));
    assert_eq!(text.stderr, "", "a driver's own lines");
    stack.drop().await;
}

//! Poison of every kind among good records: the good are applied, the poison is kept.

use projector::dead_letter::{DeadLetter, redrive_producer};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use shared::Id;
use shared::document::Product;
use shared::event::{EventType, header};

use crate::bed::{Bed, Message};
use crate::documents::{deletion, event, order, post, product, user};
use crate::process::Process;

/// Each with the reason it must be given.
fn poison() -> Vec<(&'static str, Message)> {
    let id = Id::new();
    let good = event(EventType::UserCreated, &user(id, 1));
    let value = |text: &str| Message { value: Some(text.into()), ..good.clone() };
    let data = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut envelope: serde_json::Value =
            serde_json::from_slice(good.value.as_deref().unwrap()).unwrap();
        change(&mut envelope);
        value(&envelope.to_string())
    };
    let mut invalid_utf8 = good.clone();
    invalid_utf8.value = Some(vec![b'{', 0xff, 0xfe, b'}']);
    let mut long = user(id, 1);
    long.profile.display_name = "x".repeat(256);
    let mut large = post(id, 1);
    large.text_content = "y".repeat(900 * 1024);
    vec![
        ("not_json", value("{\"event_type\": ")),
        ("not_json", value("")),
        ("not_an_envelope", value("[1, 2]")),
        ("not_an_envelope", value("{\"event_type\": \"user.created\"}")),
        ("not_an_envelope", data(&|envelope| envelope["timestamp"] = 5.into())),
        ("invalid_utf8", invalid_utf8),
        ("no_value", Message { value: None, ..good.clone() }),
        ("no_key", Message { key: None, partition: Some(0), ..good.clone() }),
        ("invalid_id", Message { key: Some(b"somebody".to_vec()), ..good.clone() }),
        ("invalid_id", data(&|envelope| envelope["entity_id"] = "".into())),
        ("invalid_id", data(&|envelope| envelope["data"]["id"] = Id::new().to_string().into())),
        ("invalid_id", data(&|envelope| envelope["event_id"] = "".into())),
        (
            "invalid_data",
            data(&|envelope| drop(envelope["data"].as_object_mut().unwrap().remove("id"))),
        ),
        ("invalid_data", data(&|envelope| envelope["data"]["profile"] = "none".into())),
        ("invalid_data", data(&|envelope| envelope["data"] = serde_json::Value::Null)),
        ("invalid_version", data(&|envelope| envelope["data"]["version"] = 0.into())),
        ("invalid_timestamp", data(&|envelope| envelope["timestamp"] = "yesterday".into())),
        (
            "invalid_timestamp",
            data(&|envelope| envelope["timestamp"] = "0001-01-01T00:00:00Z".into()),
        ),
        ("unknown_event_type", data(&|envelope| envelope["event_type"] = "user.promoted".into())),
        ("wrong_topic", data(&|envelope| envelope["event_type"] = "post.created".into())),
        // A number beyond 64 bits.
        (
            "invalid_data",
            value(
                &String::from_utf8(good.value.clone().unwrap())
                    .unwrap()
                    .replace("\"version\":1", "\"version\":99999999999999999999"),
            ),
        ),
        ("invalid_id", deletion_of_another()),
        ("refused", event(EventType::UserCreated, &long)),
        ("refused", event(EventType::PostCreated, &large)),
        (
            "refused",
            event(
                EventType::ProductCreated,
                &Product { name: "z".repeat(300), ..product(id, id, 1, &[]) },
            ),
        ),
    ]
}

fn deletion_of_another() -> Message {
    let mut message = deletion(EventType::UserDeleted, Id::new(), 2);
    let other = deletion(EventType::UserDeleted, Id::new(), 2);
    let text = String::from_utf8(message.value.unwrap()).unwrap();
    let (envelope, _) = text.split_once("\"data\"").unwrap();
    let other = String::from_utf8(other.value.unwrap()).unwrap();
    let (_, data) = other.split_once("\"data\"").unwrap();
    message.value = Some(format!("{envelope}\"data\"{data}").into_bytes());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_of_every_kind_is_put_aside_and_holds_nobody_up() {
    let bed = Bed::new(1).await;
    let poison = poison();
    let mut messages = Vec::new();
    for (_, message) in &poison {
        let id = Id::new();
        messages.push(event(EventType::UserCreated, &user(id, 1)));
        messages.push(event(EventType::PostCreated, &post(id, 1)));
        messages.push(message.clone());
        messages.push(event(EventType::UserUpdated, &user(id, 2)));
    }
    let good = poison.len() as i64;
    // Sent before it starts: good and bad come in the same batches.
    bed.send(messages).await;
    let running = bed.start();
    bed.await_count("users", "version = 2", good).await;
    bed.await_count("posts", "version = 1", good).await;
    let letters = bed.dead_letters(poison.len()).await;
    for (reason, message) in &poison {
        let letter = letters
            .iter()
            .find(|letter| {
                letter.reason == *reason
                    && letter.value == message.value
                    && letter.key == message.key
            })
            .unwrap_or_else(|| panic!("no dead letter for {reason}"));
        assert_eq!(letter.origin_topic, bed.config.kafka.topic(&message.topic));
        assert_eq!(letter.origin_partition, 0);
        let headers =
            (message.headers.iter()).map(|(key, value)| (*key, Some(&value[..]))).collect();
        assert_eq!(letter.headers, headers, "the record's own headers are kept");
        assert!(!letter.error.is_empty() && letter.error.chars().count() <= 1_000);
    }
    running.stop().await;
    bed.clear().await;
}

/// The newest event of an entity is poison: the one before it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_takes_no_earlier_one_along() {
    let bed = Bed::new(1).await;
    let id = Id::new();
    let mut long = user(id, 3);
    long.profile.display_name = "x".repeat(256);
    let number = "ORD-20260101-AAAA";
    bed.send([
        event(EventType::UserCreated, &user(id, 1)),
        event(EventType::UserUpdated, &user(id, 2)),
        event(EventType::UserUpdated, &long),
        event(EventType::OrderCreated, &order(id, number, 1, &["item_1"])),
    ])
    .await;
    let running = bed.start();
    bed.await_count("users", "version = 2", 1).await;
    bed.await_count("orders", "TRUE", 1).await;
    let other = Id::new();
    bed.send([
        event(EventType::OrderCreated, &order(other, number, 1, &["item_1"])),
        event(EventType::UserUpdated, &user(id, 4)),
    ])
    .await;
    let reasons: Vec<_> =
        bed.dead_letters(2).await.into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["refused", "order_number_taken"]);
    bed.await_count("users", "version = 4", 1).await;
    assert_eq!(bed.count("orders", &format!("order_id = '{id}'")).await, 1);
    running.stop().await;
    bed.clear().await;
}

/// A batch that ran short of room has forgotten what a newer event superseded. Once that
/// one turns out to be poison, the event before it counts again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_gives_back_what_was_forgotten_for_it() {
    let bed = Bed::new(1).await;
    let ids: Vec<_> = (0..4).map(|_| Id::new()).collect();
    let all =
        |version| ids.iter().map(move |id| event(EventType::UserUpdated, &user(*id, version)));
    let mut messages: Vec<_> = (1..=2_000).flat_map(all).collect();
    let mut long = user(ids[0], 2_001);
    long.profile.display_name = "x".repeat(256);
    messages.push(event(EventType::UserUpdated, &long));
    bed.send(messages).await;
    // Room for about twenty of the 8,001.
    let process = Process::start_with(&bed.config, &[("PROJECTOR_BATCH_BYTES", "16384")]);
    bed.await_count("users", "version = 2000", 4).await;
    assert_eq!(bed.dead_letters(1).await[0].reason, "refused");
    let batches = process.metric("projector_batch_size_count", "").await.unwrap();
    assert!(batches < 100.0, "{batches} batches: they have not grown");
    process.terminate().await;
    bed.clear().await;
}

/// What `outboxctl dlq redrive` does, after somebody made the column wider.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_after_the_fix_applies_the_record_once() {
    let bed = Bed::new(3).await;
    let id = Id::new();
    let mut long = user(id, 2);
    long.profile.display_name = "x".repeat(256);
    let running = bed.start();
    bed.send([event(EventType::UserCreated, &user(id, 1)), event(EventType::UserUpdated, &long)])
        .await;
    let letters: Vec<DeadLetter> = bed.dead_letters(1).await;
    assert!(letters[0].headers.iter().any(|(name, _)| name == header::VERSION));
    bed.sql("ALTER TABLE users MODIFY display_name VARCHAR(300) NOT NULL").await;
    let producer = redrive_producer(&bed.config.kafka).unwrap();
    for _ in 0..3 {
        letters[0].redrive(&producer).await.unwrap();
    }
    bed.send([event(EventType::UserUpdated, &user(id, 3))]).await;
    bed.await_count("users", "version = 3", 1).await;
    assert_eq!(bed.dead_letters(1).await.len(), 1, "no second one");
    running.stop().await;
    bed.clear().await;
}

/// The topic was made by hand, with little room and no records without a key.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_the_topic_does_not_take_is_sent_without_its_value() {
    let bed = Bed::new(1).await;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bed.config.kafka.kafka_bootstrap_servers)
        .create()
        .unwrap();
    let name = bed.config.kafka.topic(projector::dead_letter::TOPIC);
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1))
        .set("max.message.bytes", "20000")
        .set("cleanup.policy", "compact");
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().remove(0).unwrap();

    let id = Id::new();
    let mut large = event(EventType::UserCreated, &user(id, 1));
    large.value = Some("x".repeat(200_000).into());
    let mut keyless = event(EventType::UserCreated, &user(id, 1));
    keyless.key = None;
    let good = event(EventType::UserCreated, &user(id, 1));
    bed.send([large.clone(), keyless.clone(), good]).await;
    let process = Process::start(&bed.config);
    bed.await_count("users", "version = 1", 1).await;
    let letters = bed.dead_letters(2).await;
    for (letter, (record, reason)) in
        letters.into_iter().zip([(large, "not_json"), (keyless, "no_key")])
    {
        assert_eq!(letter.reason, reason);
        assert_eq!(letter.value_omitted, record.value.as_ref().map(|value| value.len() as u64));
        assert_eq!((&letter.key, &letter.value), (&None, &None));
        let whole = letter.whole(&bed.config.kafka).await.unwrap();
        assert_eq!((whole.key, whole.value), (record.key, record.value));
    }
    process.await_ready(true).await;
    process.terminate().await;
    bed.clear().await;
}

//! Events in Kafka as the relay would have left them, waiting for a projector.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::ProjectorAlone;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use serde_json::{Value, json};
use shared::event::{Envelope, EventType, header};
use shared::{Id, Timestamp};

/// As many as the relay puts into one.
const EVENTS_A_TRANSACTION: usize = 1_000;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of events, over so many entities.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub event_type: EventType,
    pub events: usize,
    pub entities: usize,
}

/// The last offset of each partition that has any, by topic and number.
pub type Ends = BTreeMap<(String, i32), i64>;

/// Publishes all events of `load`, entities in turn, versions rising.
pub async fn publish(projector: &ProjectorAlone, load: Load) -> Ends {
    let producer = producer(projector.setting("KAFKA_BOOTSTRAP_SERVERS"));
    producer.init_transactions(TIMEOUT).expect("the brokers answer");
    let topic = projector.topic(load.event_type.domain());
    let entities: Vec<_> = (0..load.entities).map(|_| Id::new()).collect();
    let supplier = Id::new();
    let mut ends = Ends::new();
    for begin in (0..load.events).step_by(EVENTS_A_TRANSACTION) {
        producer.begin_transaction().expect("a transaction");
        let events = begin..(begin + EVENTS_A_TRANSACTION).min(load.events);
        let sent: Vec<_> = events
            .map(|number| {
                let version = (number / load.entities + 1) as i64;
                let entity = entities[number % load.entities];
                let data = document(load.event_type, entity, version, supplier);
                send(&producer, &topic, load.event_type, entity, version, &data)
            })
            .collect();
        producer.commit_transaction(TIMEOUT).expect("a commit");
        for delivery in sent {
            let delivered = delivery.await.expect("a delivery").expect("it arrived");
            let end = ends.entry((topic.clone(), delivered.partition)).or_default();
            *end = delivered.offset.max(*end);
        }
    }
    ends
}

fn producer(servers: &str) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", Id::new().to_string())
        .set("linger.ms", "5")
        .create()
        .expect("a producer")
}

fn send(
    producer: &FutureProducer,
    topic: &str,
    event_type: EventType,
    entity: Id,
    version: i64,
    data: &Value,
) -> DeliveryFuture {
    let event_id = uuid::Uuid::now_v7().to_string();
    let key = entity.to_string();
    let envelope = Envelope {
        event_type: event_type.as_str().into(),
        event_id: event_id.as_str().into(),
        timestamp: Timestamp::now().to_string().into(),
        entity_id: key.as_str().into(),
        data,
    };
    let value = serde_json::to_string(&envelope).expect("JSON");
    let version = version.to_string();
    let headers = [
        (header::EVENT_ID, event_id.as_str()),
        (header::EVENT_TYPE, event_type.as_str()),
        (header::VERSION, version.as_str()),
    ];
    let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let record = FutureRecord::to(topic).key(&key).payload(&value).headers(headers);
    producer.send_result(record).unwrap_or_else(|(error, _)| panic!("{error}"))
}

/// A document such as the API writes: a post of about 700 bytes, a user of 500, a product
/// of 1.2 KB with three variants.
fn document(event_type: EventType, id: Id, version: i64, supplier: Id) -> Value {
    let now = Timestamp::now();
    let mut document = match event_type {
        EventType::PostCreated => post(id),
        EventType::UserUpdated => user(version),
        EventType::ProductUpdated => product(supplier, version),
        other => panic!("no sample of {other}"),
    };
    for (key, value) in [
        ("id", json!(id)),
        ("version", json!(version)),
        ("created_at", json!(now)),
        ("updated_at", json!(now)),
    ] {
        document[key] = value;
    }
    document
}

fn post(author: Id) -> Value {
    json!({
        "post_type": "image",
        "author": { "user_id": author, "display_name": "Ada Lovelace", "author_type": "user",
                    "avatar": "https://cdn.example.com/avatars/default.jpg" },
        "text_content": "The engine might compose elaborate and scientific pieces of music.",
        "media": [{ "media_type": "image", "media_url": "https://cdn.example.com/1.jpg", "width": 640 }],
        "link_preview": { "url": "https://example.com", "title": "Example" },
        "stats": {}, "published_at": Timestamp::now(),
    })
}

fn user(version: i64) -> Value {
    json!({
        "contact_info": { "primary_email": "ada@example.com", "additional_emails": [],
                          "phone": "+49 30 1234" },
        "profile": { "display_name": format!("Ada {version}"), "bio": "Countess of computing",
                     "avatar": "https://cdn.example.com/avatars/default.jpg" },
    })
}

fn product(supplier: Id, version: i64) -> Value {
    let variants: serde_json::Map<_, _> = ["red", "blue", "green"]
        .map(|name| (name.to_owned(), variant(name, version)))
        .into_iter()
        .collect();
    json!({
        "supplier_id": supplier, "supplier_info": { "name": "Harbour Goods GmbH" },
        "name": "Deck chair", "short_description": "Folds flat",
        "topic_descriptions": [], "category": "home_garden", "unit_type": "piece",
        "metadata": { "base_sku": "DC-1", "brand": "Harbour" }, "stock_locations": [],
        "variants": variants, "base_price_cents": 4_900 + version,
        "stats": { "view_count": version, "favorite_count": 0, "purchase_count": 0, "total_reviews": 0 },
        "status": "active",
    })
}

fn variant(name: &str, version: i64) -> Value {
    json!({
        "variant_id": format!("DC-1-{name}"), "variant_name": name,
        "attributes": [{ "attribute_name": "colour", "attribute_value": name }],
        "price_cents": 5_100 + version, "quantity": 3,
        "package_dimensions": { "width_cm": 60.5, "height_cm": 90.0, "depth_cm": 12.25 },
        "image_url": "https://cdn.example.com/chair.jpg",
    })
}

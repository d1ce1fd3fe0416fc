use bson::RawDocumentBuf;
use shared::event::EventType;
use shared::outbox::{COLLECTION, OutboxRecord, binary};
use shared::{Id, Timestamp};
use uuid::Uuid;

use crate::documents::user;
use crate::kafka::delete_topics;
use crate::projector::Projector;
use crate::relay::Relay;
use crate::stack::{Run, Stack};

impl Stack {
    async fn write(&self, record: &OutboxRecord) {
        let outbox = self.mongodb.collection::<RawDocumentBuf>(COLLECTION);
        outbox.insert_one(record.to_bson()).await.unwrap();
    }

    async fn trace(&self, event: Uuid) -> Run {
        self.outboxctl(&["trace", &event.to_string(), "--json"]).await
    }

    /// Until the event is that far.
    async fn until_traced(&self, event: Uuid, state: &str) -> serde_json::Value {
        let started = std::time::Instant::now();
        loop {
            let run = self.trace(event).await;
            let trace = run.json();
            if trace["state"] == state {
                assert_eq!(run.code, Some(0), "{trace:#}");
                return trace;
            }
            assert!(started.elapsed() < crate::kafka::TIMEOUT, "never {state}: {trace:#}");
        }
    }
}

fn signed_up() -> OutboxRecord {
    let user = user();
    let now = Timestamp::now();
    OutboxRecord::new(EventType::UserCreated, user.id, 3, now, None, &user).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_an_event_from_hop_to_hop() {
    let stack = Stack::new().await;
    let relay = Relay::start(&stack);
    let first = signed_up();
    stack.write(&first).await;
    let trace = stack.until_traced(first.event_id, "published").await;
    assert_eq!(trace["event"]["entity_id"], first.entity_id.to_string());
    assert_eq!(trace["kafka"]["topic"], format!("{}.user", stack.name));
    assert_eq!(trace["kafka"]["offset"], 0, "{trace:#}");
    assert!(trace["kafka"]["after_ms"].as_i64().unwrap() >= 0, "{trace:#}");
    assert_eq!(trace["outbox"]["committed_before"], trace["kafka"]["at"]);
    assert!(trace["outbox"]["inserted_at"].is_string(), "{trace:#}");
    assert!(trace["mysql"]["row"].is_null() && trace["mysql"]["progress"].is_null());

    let projector = Projector::start(&stack);
    let trace = stack.until_traced(first.event_id, "applied").await;
    assert_eq!(trace["mysql"]["row"]["event_id"], first.event_id.to_string());
    assert_eq!(trace["mysql"]["row"]["version"], 3);
    let text = stack.outboxctl(&["trace", &first.event_id.to_string()]).await.stdout;
    for part in ["occurred ", "committed ", "published ", "row ", "state      applied"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }

    // Purged: the topics alone tell.
    let purged = bson::doc! { "_id": binary(first.event_id) };
    stack.mongodb.collection::<bson::Document>(COLLECTION).delete_one(purged).await.unwrap();
    let trace = stack.until_traced(first.event_id, "applied").await;
    assert_eq!(trace["event"]["event_type"], "user.created");
    assert!(trace["outbox"].is_null(), "{trace:#}");

    // Something that MySQL takes, in a shape that the projector does not know.
    let nobody = serde_json::json!({ "no": "user" });
    let now = Timestamp::now();
    let id = Id::new();
    let poison = OutboxRecord::new(EventType::UserCreated, id, 1, now, None, &nobody).unwrap();
    stack.write(&poison).await;
    let trace = stack.until_traced(poison.event_id, "dead_lettered").await;
    assert!(trace["dead_letter"]["reason"].is_string(), "{trace:#}");

    relay.stop().await;
    let late = signed_up();
    stack.write(&late).await;
    let trace = stack.until_traced(late.event_id, "committed").await;
    assert!(trace["kafka"].is_null(), "{trace:#}");
    projector.stop().await;
    let topics = ["user", "supplier", "product", "order", "post", "dead-letter"];
    let topics = topics.map(|topic| format!("{}.{topic}", stack.name));
    delete_topics(&topics.each_ref().map(String::as_str)).await;
    delete_topics(&[&format!("{}.outbox-relay-checkpoint", stack.name)]).await;
    stack.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_and_who_is_away_have_exit_codes() {
    let stack = Stack::new().await;
    let nobody = Uuid::now_v7();
    let run = stack.trace(nobody).await;
    assert_eq!((run.code, &run.json()["state"]), (Some(1), &"unknown".into()), "{}", run.stderr);

    let record = signed_up();
    stack.write(&record).await;
    let id = record.event_id.to_string();
    let away = [("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("MYSQL_PORT", "1")];
    let child = stack.start(&["trace", &id, "--json"], &away);
    let run = Run::from(child.wait_with_output().await.unwrap());
    let trace = run.json();
    assert_eq!((run.code, &trace["state"]), (Some(2), &"committed".into()), "{trace:#}");
    assert_eq!(trace["problems"].as_array().unwrap().len(), 2, "{trace:#}");
    let run = stack.outboxctl(&["trace", "x"]).await;
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    stack.drop().await;
}

//! How far an event has come, by the watermarks that the relay writes. Here they are
//! written by the test: what the relay says is proven by its own tests, and by the whole
//! pipeline's.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, Timestamp as ClusterTime, doc};
use serde_json::{Value, json};
use shared::Timestamp;
use shared::event::{Domain, partition_of};
use shared::outbox::{COLLECTION, DEAD_COLLECTION, binary};
use shared::watermark::{self, Loss, Partition, REWOUND, Watermark};
use uuid::Uuid;

use crate::call::Answer;
use crate::fixtures::new_user;
use crate::harness::Api;

fn event_id(answer: &Answer) -> String {
    answer.header("x-event-id").expect("X-Event-ID").to_owned()
}

fn by_id(event_id: &str) -> Document {
    doc! { "_id": binary(Uuid::parse_str(event_id).unwrap()) }
}

impl Api {
    async fn sign_up(&self) -> String {
        let answer = self.post("/users").json(&new_user()).await;
        event_id(answer.is(201))
    }

    async fn timeline(&self, event_id: &str, query: &str) -> Value {
        self.get(format!("/events/{event_id}{query}")).await.is(200).json()
    }

    /// MongoDB's clock: all that was committed so far carries no later time.
    async fn now(&self) -> ClusterTime {
        self.database.operation_time().await
    }

    async fn say(&self, shard: &str, published: ClusterTime, applied: Option<ClusterTime>) {
        self.say_with(shard, published, applied, Vec::new()).await;
    }

    async fn say_with(
        &self,
        shard: &str,
        published: ClusterTime,
        applied: Option<ClusterTime>,
        lost: Vec<Loss>,
    ) {
        let partition = |topic: &str, partition| Partition {
            topic: format!("eu.{topic}"),
            partition,
            end: i64::from(partition) + 10,
            applied: Some(3),
        };
        let of_domain = |domain: Domain| (0..3).map(move |it| partition(domain.topic(), it));
        let watermark = Watermark {
            shard: shard.to_owned(),
            at: Timestamp::now(),
            proven_at: Some(Timestamp::now()),
            published_through: published,
            applied_through: applied,
            partitions: Domain::ALL.into_iter().flat_map(of_domain).collect(),
            dead_letters: Some(0),
            obstacle: None,
            lost,
            group: None,
        };
        let watermarks = self.database.collection(watermark::COLLECTION);
        let replacing = watermarks.replace_one(doc! { "_id": shard }, watermark.to_bson().unwrap());
        replacing.upsert(true).await.unwrap();
    }
}

#[tokio::test]
async fn an_event_is_as_far_as_a_watermark_proves() {
    let api = Api::start().await;
    let first = api.sign_up().await;
    let between = api.now().await;
    let second = api.sign_up().await;
    let after = api.now().await;

    let unknown = api.timeline(&first, "").await;
    assert_eq!(unknown["state"], "committed");
    assert_eq!(unknown["event_type"], "user.created");
    assert_eq!(unknown["version"], 1);
    assert!(unknown["committed"]["occurred_at"].is_string(), "{unknown}");
    for nothing in ["published", "applied", "refused", "as_of"] {
        assert!(unknown[nothing].is_null(), "{unknown}");
    }

    api.say("0/1", between, None).await;
    let published = api.timeline(&first, "").await;
    assert_eq!(published["state"], "published", "{published}");
    let partition = partition_of(published["entity_id"].as_str().unwrap(), 3).unwrap();
    assert_eq!(published["published"]["topic"], "eu.user");
    assert_eq!(published["published"]["partition"], partition);
    assert_eq!(published["published"]["before_offset"], partition + 10);
    assert!(published["applied"].is_null() && published["as_of"].is_string());
    assert_eq!(api.timeline(&second, "").await["state"], "committed", "it is later");

    api.say("0/1", after, Some(between)).await;
    assert_eq!(api.timeline(&first, "").await["state"], "applied");
    assert_eq!(api.timeline(&second, "").await["state"], "published");
    api.say("0/1", after, Some(after)).await;
    assert_eq!(api.timeline(&second, "").await["state"], "applied");
}

/// The projector's offset is past them all, and only those are called applied that cannot be
/// among the records that it never read.
#[tokio::test]
async fn what_may_have_been_deleted_unread_is_not_called_applied() {
    let api = Api::start().await;
    let before = api.sign_up().await;
    let after = api.now().await;
    let lost = api.sign_up().await;
    let through = api.now().await;
    let later = api.sign_up().await;
    let end = api.now().await;
    let loss = |topic: &str| Loss {
        topic: topic.to_owned(),
        partition: 1,
        from_offset: 7,
        to_offset: 9,
        after: Some(after),
        through,
    };
    api.say_with("0/1", end, Some(end), vec![loss("eu.post"), loss("eu.user")]).await;
    assert_eq!(api.timeline(&before, "").await["state"], "applied");
    assert_eq!(api.timeline(&later, "").await["state"], "applied");
    let begun = Instant::now();
    let doubtful = api.timeline(&lost, "?wait=applied&timeout=20000").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "waiting does not help");
    assert_eq!(doubtful["state"], "published", "{doubtful}");
    assert_eq!(doubtful["doubt"]["reason"], "may_be_lost");
    let detail = doubtful["doubt"]["detail"].as_str().unwrap();
    assert!(detail.contains("offsets 7 to 8 of partition 1 of eu.user"), "{detail}");
    assert!(doubtful["applied"].is_null());
}

/// Readers drop versions that they have seen before; an entity's first one they have not.
#[tokio::test]
async fn after_mongodb_went_back_only_first_versions_are_called_applied() {
    let api = Api::start().await;
    let user = api.post("/users").json(&new_user()).await;
    let created = event_id(user.is(201));
    let id = user.json()["id"].as_str().unwrap().to_owned();
    let patched = api.patch(format!("/users/{id}")).json(&json!({ "bio": "new" })).await;
    let patched = event_id(patched.is(200));
    let now = api.now().await;
    api.say("0/1", now, Some(now)).await;
    let marker = doc! { "_id": REWOUND, "noticed_at": DateTime::now(), "reason": "3 of 7" };
    let watermarks = api.database.collection(watermark::COLLECTION);
    watermarks.insert_one(marker).await.unwrap();
    assert_eq!(api.timeline(&created, "").await["state"], "applied");
    let doubtful = api.timeline(&patched, "").await;
    assert_eq!(doubtful["state"], "published", "{doubtful}");
    assert_eq!(doubtful["doubt"]["reason"], "may_be_outranked");
    watermarks.delete_one(doc! { "_id": REWOUND }).await.unwrap();
    let repaired = api.timeline(&patched, "?wait=applied&timeout=20000").await;
    assert_eq!(repaired["state"], "applied");
    assert!(repaired["doubt"].is_null());
}

/// The one moment that matters is the commit: a watermark just before it proves nothing,
/// though the event's record was written by then.
#[tokio::test]
async fn a_watermark_between_write_and_commit_proves_nothing() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let record = api.database.collection(COLLECTION).find_one(by_id(&id)).await.unwrap().unwrap();
    let inserted = record.get_timestamp("inserted_at").expect("the server's own clock");
    assert!(inserted.time > 0, "it was left empty: {inserted:?}");
    assert!(inserted < api.now().await, "the commit is later");
    api.say("0/1", inserted, Some(inserted)).await;
    assert_eq!(api.timeline(&id, "").await["state"], "committed");
    // Of an earlier release, without the server's clock in it.
    let unset = doc! { "$unset": { "inserted_at": 1 } };
    api.database.collection(COLLECTION).update_one(by_id(&id), unset).await.unwrap();
    assert_eq!(api.timeline(&id, "").await["state"], "committed");
    api.say("0/1", api.now().await, None).await;
    assert_eq!(api.timeline(&id, "").await["state"], "published");
}

/// MongoDB has forgotten what it held then; only what is much older is proven.
#[tokio::test]
async fn an_old_watermark_proves_what_is_older_still() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let old = api.now().await.time - 3_600;
    let at = |time| ClusterTime { time, increment: 1 };
    let inserted = async |time| {
        let set = doc! { "$set": { "inserted_at": at(time) } };
        let outbox = api.database.collection(COLLECTION);
        outbox.update_one(by_id(&id), set).await.unwrap();
    };
    api.say("0/1", at(old), None).await;
    inserted(old - 60).await;
    assert_eq!(
        api.timeline(&id, "").await["state"],
        "committed",
        "its transaction may have lived on"
    );
    inserted(old - 121).await;
    assert_eq!(api.timeline(&id, "").await["state"], "published");
}

#[tokio::test]
async fn only_the_shard_of_the_entity_counts() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let entity = api.timeline(&id, "").await["entity_id"].as_str().unwrap().to_owned();
    let own = entity.chars().last().unwrap().to_digit(16).unwrap() % 2;
    api.say(&format!("{}/2", 1 - own), api.now().await, None).await;
    assert_eq!(api.timeline(&id, "").await["state"], "committed");
    api.say(&format!("{own}/2"), api.now().await, None).await;
    assert_eq!(api.timeline(&id, "").await["state"], "published");
}

#[tokio::test]
async fn a_wait_ends_as_soon_as_the_event_is_that_far() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let url = format!("/events/{id}?wait=applied&timeout=20000");
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(api.get(&url).into_future())).collect();
    let begun = Instant::now();
    let now = api.now().await;
    api.say("0/1", now, None).await;
    let published = api.timeline(&id, "?wait=published").await;
    assert_eq!(published["state"], "published");
    assert!(waiting.iter().all(|it| !it.is_finished()), "published is not applied");
    api.say("0/1", now, Some(now)).await;
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().is(200).json()["state"], "applied");
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_wait_in_vain_tells_how_far_it_has_come() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let begun = Instant::now();
    assert_eq!(api.timeline(&id, "?wait=published&timeout=300").await["state"], "committed");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(api.timeline(&id, "?wait=applied&timeout=0").await["state"], "committed");

    // Less than the wait: the request's own limit.
    let quick = Api::with(&["--request-timeout", "1"]).await;
    let id = quick.sign_up().await;
    assert_eq!(quick.timeline(&id, "?wait=applied").await["state"], "committed");
}

/// Whoever waits does not keep the process from stopping.
#[tokio::test]
async fn a_stop_ends_all_waits() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let url = format!("/events/{id}?wait=applied&timeout=25000");
    let waiting = tokio::spawn(api.get(&url).into_future());
    api.server
        .until("it waits", async || api.server.metric("http_requests_in_flight").await >= 1.0)
        .await;
    let begun = Instant::now();
    let Api { server, database: _database } = api;
    server.stop().await;
    assert_eq!(waiting.await.unwrap().is(200).json()["state"], "committed");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_kafka_never_takes_is_refused_with_its_reason() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let outbox = api.database.collection(COLLECTION);
    let record = outbox.find_one(by_id(&id)).await.unwrap().unwrap();
    let url = format!("/events/{id}?wait=applied&timeout=20000");
    let waiting = tokio::spawn(api.get(&url).into_future());
    // As the relay does, in this order.
    let mut dead = by_id(&id);
    dead.extend(doc! { "reason": "too_large", "error": "5 bytes; the limit is 4",
    "died_at": Timestamp::now(), "record": record });
    api.database.collection(DEAD_COLLECTION).insert_one(dead).await.unwrap();
    let now = api.now().await;
    outbox.delete_one(by_id(&id)).await.unwrap();
    api.say("0/1", api.now().await, Some(now)).await;

    for refused in [waiting.await.unwrap().is(200).json(), api.timeline(&id, "").await] {
        assert_eq!(refused["state"], "refused", "{refused}");
        assert_eq!(refused["refused"]["reason"], "too_large");
        assert!(refused["published"].is_null() && refused["applied"].is_null(), "{refused}");
        assert_eq!(refused["event_type"], "user.created");
    }
}

#[tokio::test]
async fn what_names_no_event_is_not_found() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    let outbox = api.database.collection(COLLECTION);
    outbox.delete_one(by_id(&id)).await.unwrap();
    let purged = format!("/events/{id}");
    let unknown = "/events/0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b";
    for path in
        [purged.as_str(), unknown, "/events/x", "/events/%00", "/events/65a1b2c3d4e5f60718293a4b"]
    {
        api.refuses(api.get(path), 404, "RESOURCE_NOT_FOUND").await;
    }
}

#[tokio::test]
async fn a_wrong_wait_names_its_field() {
    let api = Api::start().await;
    let id = api.sign_up().await;
    for (query, field) in [
        ("wait=read", "wait"),
        ("wait=", "wait"),
        ("timeout=25001", "timeout"),
        ("timeout=-1", "timeout"),
        ("timeout=soon", "timeout"),
    ] {
        api.get(format!("/events/{id}?{query}")).await.names(field);
    }
    let both = api.get(format!("/events/{id}?wait=x&timeout=y")).await;
    let details = both.refused(422, "VALIDATION_ERROR");
    assert!(details["wait"].is_string() && details["timeout"].is_string(), "{details}");
}

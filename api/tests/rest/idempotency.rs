//! Idempotency-Key: asked twice, done once, answered alike.

use futures::future::join_all;
use mongodb::bson::doc;
use reqwest::Method;
use serde_json::{Value, json};

use crate::call::{Answer, id};
use crate::fixtures::{new_order, new_post, new_product, new_supplier, new_user};
use crate::harness::{Api, Server};

const KEY: &str = "Idempotency-Key";
const REPLAYED: &str = "idempotent-replayed";

/// Every create of the contract: path, sound body, and another one.
struct Creates {
    api: Api,
    user: Value,
    supplier: Value,
    all: [(&'static str, Value, Value); 5],
}

impl Creates {
    async fn prepare() -> Self {
        let api = Api::start().await;
        let (user, supplier) = (api.user().await, api.supplier().await);
        let product = api.active_product(&supplier).await;
        let other = api.active_product(&supplier).await;
        let (mut other_product, mut other_post) = (new_product(), new_post());
        other_product["name"] = json!("Other");
        other_post["text_content"] = json!("Other");
        let all = [
            ("/users", new_user(), new_user()),
            ("/suppliers", new_supplier(), new_supplier()),
            ("/products", new_product(), other_product),
            ("/orders", new_order(&product), new_order(&other)),
            ("/posts", new_post(), other_post),
        ];
        Self { api, user, supplier, all }
    }

    async fn send(&self, server: &Server, path: &str, key: &str, body: &Value) -> Answer {
        let call = server.call(Method::POST, path).user(&self.user).supplier(&self.supplier);
        call.header(KEY, key).json(body).await
    }

    async fn documents(&self, path: &str) -> usize {
        self.api.database.all(&path[1..]).await.len()
    }
}

fn is_replay(answer: &Answer, first: &Answer) {
    assert_eq!(answer.is(201).text, first.text, "{}", answer.what);
    assert_eq!(answer.header(REPLAYED), Some("true"), "{}", answer.what);
    for header in ["x-event-id", "etag", "content-type"] {
        assert_eq!(answer.header(header), first.header(header), "{}", answer.what);
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let creates = Creates::prepare().await;
    // The process that answered may be gone by then.
    let later = creates.api.another().await;
    for (path, body, other) in &creates.all {
        let here = &creates.api.server;
        let before = creates.documents(path).await;
        let first = creates.send(here, path, "key-1", body).await;
        assert_eq!(first.is(201).header(REPLAYED), None, "{path}");
        is_replay(&creates.send(here, path, "key-1", body).await, &first);
        is_replay(&creates.send(&later, path, "key-1", body).await, &first);
        assert_eq!(creates.documents(path).await, before + 1, "{path}");
        let made = first.json();
        assert_eq!(creates.api.database.events_of(id(&made)).await.len(), 1, "{path}");

        let call = creates.api.post(path).user(&creates.user).supplier(&creates.supplier);
        let call = call.header(KEY, "key-1").json(other);
        let details = creates.api.refuses(call, 422, "VALIDATION_ERROR").await;
        assert!(details[KEY].is_string(), "{details}");
        let second = creates.send(here, path, "key-2", other).await;
        assert_ne!(id(&second.is(201).json()), id(&made), "another key, another document");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_at_once_one_is_done_and_all_are_answered_alike() {
    let creates = Creates::prepare().await;
    for (path, body, _) in &creates.all {
        let before = creates.documents(path).await;
        let events = creates.api.database.events().await.len();
        let send = || creates.send(&creates.api.server, path, "the one", body);
        let answers = join_all((0..20).map(|_| send())).await;
        let (replays, made): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.header(REPLAYED).is_some());
        assert_eq!(made.len(), 1, "{path}");
        for replay in replays {
            is_replay(replay, made[0].is(201));
        }
        assert_eq!(creates.documents(path).await, before + 1, "{path}");
        assert_eq!(creates.api.database.events().await.len(), events + 1, "{path}");
    }
}

/// A refusal is not an answer to keep: put right, the request may be sent again.
#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.draft(&supplier).await;
    let order = || api.post("/orders").user(&user).header(KEY, "k").json(&new_order(&product));
    api.refuses(order(), 409, "STATE_CONFLICT").await;
    api.act(&supplier, &product, "publish").await;
    assert_eq!(order().await.is(201).header(REPLAYED), None);
}

/// A key is its sender's own, and one for each path.
#[tokio::test]
async fn callers_do_not_share_their_keys() {
    let api = Api::start().await;
    let (one, other) = (api.user().await, api.user().await);
    let send = |user: &Value| api.post("/posts").user(user).header(KEY, "k").json(&new_post());
    let first = send(&one).await.is(201).json();
    let second = send(&other).await.is(201).json();
    assert_ne!(id(&first), id(&second));
    assert_eq!(second["author"]["user_id"], other["id"]);
}

#[tokio::test]
async fn keys_have_rules_and_keep_the_password() {
    let api = Api::start().await;
    for broken in [String::new(), "k".repeat(256), "é".to_owned()] {
        let call = api.post("/users").header(KEY, &broken).json(&new_user());
        let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
        assert!(details[KEY].is_string(), "{details}");
    }
    let twice = api.post("/users").header(KEY, "a").header(KEY, "b").json(&new_user());
    api.refuses(twice, 422, "VALIDATION_ERROR").await;

    let longest = "k".repeat(255);
    let body = new_user();
    let first = api.post("/users").header(KEY, &longest).json(&body).await;
    first.is(201);
    // The fingerprint leaves the password out, so it cannot be guessed from there.
    let mut other = body.clone();
    other["password"] = json!("another password");
    is_replay(&api.post("/users").header(KEY, &longest).json(&other).await, &first);
    // Nor does the order of the fields make another request.
    let text = format!(" {}", serde_json::to_string_pretty(&body).unwrap());
    is_replay(&api.post("/users").header(KEY, &longest).bytes(text).await, &first);
    let kept = api.database.all("idempotency_keys").await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].to_string().contains("password"), "{}", kept[0]);
}

/// The server itself takes keys away after a day.
#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let api = Api::start().await;
    let keys = api.database.collection("idempotency_keys");
    let names = keys.list_index_names().await.unwrap();
    assert!(names.iter().any(|name| name == "created_at_1"), "{names:?}");
    let mut indexes = keys.list_indexes().await.unwrap();
    let mut lives = None;
    while indexes.advance().await.unwrap() {
        let index = indexes.deserialize_current().unwrap();
        if index.keys == doc! { "created_at": 1 } {
            lives = index.options.and_then(|options| options.expire_after);
        }
    }
    assert_eq!(lives.map(|time| time.as_secs()), Some(24 * 60 * 60));
    api.post("/users").header(KEY, "k").json(&new_user()).await.is(201);
    let kept = &api.database.all("idempotency_keys").await[0];
    assert!(kept.get_datetime("created_at").is_ok(), "a date, or it would stay: {kept}");
}

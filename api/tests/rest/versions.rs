//! ETag and If-Match: a change can name the version that it was made from.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::harness::Api;

/// Every kind of change on a document of its own at version 1: collection, document,
/// method, path after the id.
async fn changes(
    api: &Api,
    user: &Value,
    supplier: &Value,
) -> Vec<(&'static str, Value, Method, &'static str)> {
    let product = api.active_product(supplier).await;
    vec![
        ("users", api.user().await, Method::PATCH, ""),
        ("users", api.user().await, Method::DELETE, ""),
        ("suppliers", api.supplier().await, Method::PATCH, ""),
        ("suppliers", api.supplier().await, Method::DELETE, ""),
        ("products", api.draft(supplier).await, Method::PATCH, ""),
        ("products", api.draft(supplier).await, Method::DELETE, ""),
        ("products", api.draft(supplier).await, Method::POST, "/publish"),
        ("orders", api.order(user, &product).await, Method::POST, "/cancel"),
        ("orders", api.order(user, &product).await, Method::POST, "/confirm"),
        ("posts", api.post_by(user).await, Method::PATCH, ""),
        ("posts", api.post_by(user).await, Method::DELETE, ""),
        ("posts", api.draft_post(user).await, Method::POST, "/publish"),
    ]
}

#[tokio::test]
async fn a_change_takes_place_only_in_the_version_it_names() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    for (collection, document, method, suffix) in changes(&api, &user, &supplier).await {
        let path = format!("/{collection}/{}", id(&document));
        let read = api.get(&path).user(&user).await;
        assert_eq!(read.is(200).header("etag"), Some("\"1\""), "{path}");
        let change = |version: &str| {
            let call = api.call(method.clone(), format!("{path}{suffix}"));
            let call = call.user(&user).supplier(&supplier).json(&json!({}));
            call.header("If-Match", version)
        };
        for stale in ["\"0\"", "\"2\"", "\"2\", \"3\""] {
            api.refuses(change(stale), 409, "VERSION_CONFLICT").await;
        }
        for broken in ["", "one", "\"1"] {
            let details = api.refuses(change(broken), 422, "VALIDATION_ERROR").await;
            assert!(details["If-Match"].is_string(), "{details}");
        }
        let done = change("\"1\"").await;
        assert!(done.status.is_success(), "{}: {}", done.what, done.text);
        if done.status == 200 {
            assert_eq!(done.header("etag"), Some("\"2\""), "{}", done.what);
        }
        assert_eq!(api.database.event_of(&done).await.version, 2);
    }
}

#[tokio::test]
async fn creates_tell_the_first_version() {
    let api = Api::start().await;
    let created = api.post("/users").json(&crate::fixtures::new_user()).await;
    assert_eq!(created.is(201).header("etag"), Some("\"1\""));
}

/// Any version will do where the client says so, in each usual form.
#[tokio::test]
async fn the_forms_of_if_match() {
    let api = Api::start().await;
    let user = api.user().await;
    let path = format!("/users/{}", id(&user));
    for (number, form) in (1..).zip(["*", "\"2\"", "W/\"3\"", "4", "\"1\", \"5\""]) {
        let call = api.patch(&path).json(&json!({ "bio": "x" }));
        let changed = call.header("If-Match", form).await.is(200).json();
        assert_eq!(changed["version"], number + 1, "{form}");
    }
}

/// Of many who have read the same version, one may change it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_twenty_changes_a_version() {
    let api = Api::start().await;
    let user = api.user().await;
    let path = format!("/users/{}", id(&user));
    let change = |number: usize| {
        let call = api.patch(&path).json(&json!({ "bio": format!("{number}") }));
        let call = call.header("If-Match", "\"1\"");
        async { call.await }
    };
    let answers = join_all((0..20).map(change)).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        lost.refused(409, "VERSION_CONFLICT");
    }
    assert_eq!(api.get(&path).await.is(200).json()["version"], 2);
}

/// Who may not change a thing learns that first, and who meant another version is not
/// told what that of today allows.
#[tokio::test]
async fn a_stale_version_comes_after_the_caller_and_before_the_state() {
    let api = Api::start().await;
    let (user, stranger, supplier) = (api.user().await, api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let order = api.order(&user, &product).await;
    let cancel = format!("/orders/{}/cancel", id(&order));
    let foreign = api.post(&cancel).user(&stranger).header("If-Match", "\"7\"");
    api.refuses(foreign, 404, "RESOURCE_NOT_FOUND").await;
    let publish = format!("/products/{}/publish", id(&product));
    let stale = api.post(publish).supplier(&supplier).header("If-Match", "\"1\"");
    api.refuses(stale, 409, "VERSION_CONFLICT").await;
}

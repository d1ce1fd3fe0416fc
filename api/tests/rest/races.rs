//! Many clients at one document: each write happens once, or not at all.

use std::collections::HashSet;

use futures::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::call::{Answer, id};
use crate::fixtures::{email, new_product, new_user};
use crate::harness::Api;

/// Exactly one of the answers has `status`; all others are refused alike.
fn one_wins<'a>(answers: &'a [Answer], status: u16, refusal: (u16, &str)) -> &'a Answer {
    let (won, lost): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == status);
    lost.iter().for_each(|answer| {
        answer.refused(refusal.0, refusal.1);
    });
    assert_eq!(won.len(), 1, "one of {} wins", answers.len());
    won[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_fifty_publishes_a_draft() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let draft = api.draft(&supplier).await;
    let path = format!("/products/{}/publish", id(&draft));
    let publish = || async { api.post(&path).supplier(&supplier).await };
    let answers = join_all((0..50).map(|_| publish())).await;
    let published = one_wins(&answers, 200, (409, "STATE_CONFLICT")).json();
    assert_eq!(published["version"], 2);
    let events = api.database.events_of(id(&draft)).await;
    assert_eq!(events.len(), 2, "created, and published once");
    events[1].carries("product.published", &published);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_twenty_gets_an_address() {
    let api = Api::start().await;
    let address = email();
    let create = |number: usize| {
        let mut body = new_user();
        body["email"] =
            json!(if number.is_multiple_of(2) { address.clone() } else { address.to_uppercase() });
        let call = api.post("/users").json(&body);
        async { call.await }
    };
    let answers = join_all((0..20).map(create)).await;
    let created = one_wins(&answers, 201, (409, "DUPLICATE_RESOURCE")).json();
    assert_eq!(created["contact_info"]["primary_email"], address);
    assert_eq!(api.database.all("users").await.len(), 1);
    assert_eq!(api.database.events().await.len(), 1);
}

/// Changes of one document queue up: each takes place, with a version of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_all_take_place() {
    const CHANGES: i64 = 12;
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.draft(&supplier).await;
    let post = api.post_by(&user).await;
    let cases: [(&str, &Value, &str); 4] = [
        ("users", &user, "bio"),
        ("suppliers", &supplier, "primary_phone"),
        ("products", &product, "brand"),
        ("posts", &post, "text_content"),
    ];
    for (collection, document, field) in cases {
        let path = format!("/{collection}/{}", id(document));
        let change = |number: i64| {
            let call = api.patch(&path).user(&user).supplier(&supplier);
            let call = call.json(&json!({ field: format!("change {number}") }));
            async { call.await.is(200).json() }
        };
        let changed = join_all((0..CHANGES).map(change)).await;
        let versions: HashSet<_> = changed.iter().map(|each| each["version"].as_i64()).collect();
        let expected: HashSet<_> = (2..CHANGES + 2).map(Some).collect();
        assert_eq!(versions, expected, "{collection}");

        let events = api.database.events_of(id(document)).await;
        assert_eq!(events.len() as i64, 1 + CHANGES, "{collection}");
        for answered in &changed {
            let same =
                events.iter().find(|event| Some(event.version) == answered["version"].as_i64());
            let topic = collection.trim_end_matches('s');
            same.unwrap().carries(&format!("{topic}.updated"), answered);
        }
    }
}

/// A product that is made while its supplier goes is refused, or goes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_product_outlives_its_supplier() {
    let api = Api::start().await;
    for round in 0..5 {
        let supplier = api.supplier().await;
        api.draft(&supplier).await;
        let create = || async {
            let answer = api.post("/products").supplier(&supplier).json(&new_product()).await;
            if answer.status != 201 {
                answer.refused(404, "RESOURCE_NOT_FOUND");
            }
        };
        let delete = api.delete(format!("/suppliers/{}", id(&supplier)));
        let (_, deleted) = join(join_all((0..8).map(|_| create())), async { delete.await }).await;
        deleted.is(204);
        let live = api.get(format!("/products?supplier_id={}&limit=100", id(&supplier))).await;
        assert_eq!(live.is(200).json(), json!([]), "round {round}");
    }
    let deletions = |topic: &str| format!("{topic}.deleted");
    let events = api.database.events().await;
    let count = |kind: &str| events.iter().filter(|event| event.event_type == kind).count();
    assert_eq!(count(&deletions("product")), count("product.created"), "each went once");
    assert_eq!(count(&deletions("supplier")), 5);
}

/// Whatever comes first wins; a product is not deleted twice, by its supplier and with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_is_deleted_once() {
    let api = Api::start().await;
    for _ in 0..5 {
        let supplier = api.supplier().await;
        let product = api.draft(&supplier).await;
        let (path, whole) =
            (format!("/products/{}", id(&product)), format!("/suppliers/{}", id(&supplier)));
        let alone = || async { api.call(Method::DELETE, &path).supplier(&supplier).await.status };
        let all = async { api.delete(&whole).await.is(204).event_id() };
        let (statuses, _) = join(join_all((0..4).map(|_| alone())), all).await;
        assert!(statuses.iter().filter(|status| **status == 204).count() <= 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| *status == 204 || *status == 404), "{statuses:?}");
        let events = api.database.events_of(id(&product)).await;
        assert_eq!(events.len(), 2, "created, deleted once: {events:?}");
    }
}

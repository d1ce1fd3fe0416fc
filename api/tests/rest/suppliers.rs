//! What ties suppliers and products together, and what only the supplier may see.

use mongodb::bson::{doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::call::id;
use crate::fixtures::new_supplier;
use crate::harness::Api;

/// Anybody's view of the supplier.
async fn seen(api: &Api, supplier: &Value) -> Value {
    api.get(format!("/suppliers/{}", id(supplier))).await.is(200).json()
}

#[tokio::test]
async fn deleting_a_supplier_takes_its_live_products_along() {
    let api = Api::start().await;
    let (supplier, other) = (api.supplier().await, api.supplier().await);
    let draft = api.draft(&supplier).await;
    let active = api.active_product(&supplier).await;
    let deleted = api.draft(&supplier).await;
    api.delete(format!("/products/{}", id(&deleted))).supplier(&supplier).await.is(204);
    let foreign = api.active_product(&other).await;
    let before = api.database.events().await.len();

    let answer = api.delete(format!("/suppliers/{}", id(&supplier))).await;
    let cause = api.database.event_of(answer.is(204)).await;
    cause.tells_deletion("supplier", id(&supplier), 2);
    let events = api.database.events().await;
    assert_eq!(events.len(), before + 3, "one for the supplier, one for each live product");
    for (product, version) in [(&draft, 2), (&active, 3)] {
        let events = api.database.events_of(id(product)).await;
        let last = events.last().unwrap();
        last.tells_deletion("product", id(product), version);
        assert_eq!(last.occurred_at, cause.occurred_at, "one moment, one transaction");
        let stored = api.database.stored("products", id(product)).await.unwrap();
        assert_eq!(stored.get_str("status").unwrap(), "deleted");
        assert_eq!(stored.get_i64("version").unwrap(), version);
        api.get(format!("/products/{}", id(product))).await.refused(404, "RESOURCE_NOT_FOUND");
    }
    assert_eq!(api.database.events_of(id(&deleted)).await.len(), 2, "it was deleted already");
    assert_eq!(api.database.stored("suppliers", id(&supplier)).await, None);
    let list = api.get("/products").await.is(200).json();
    assert_eq!(list, json!([foreign]), "the other supplier keeps its product");
}

/// More bytes than one command of MongoDB's takes.
#[tokio::test]
async fn a_supplier_of_many_large_products_goes_with_all_of_them() {
    const PRODUCTS: usize = 400;
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let draft = api.draft(&supplier).await;
    let mut template = api.database.stored("products", id(&draft)).await.unwrap();
    template.insert("short_description", "x".repeat(45_000));
    let copies: Vec<_> = (1..PRODUCTS)
        .map(|_| {
            let mut copy = template.clone();
            copy.insert("_id", ObjectId::new());
            copy
        })
        .collect();
    let ids: Vec<_> = copies.iter().map(|copy| copy.get_object_id("_id").unwrap()).collect();
    let link = doc! { "$push": { "product_ids": { "$each": ids } } };
    let products = api.database.collection("products");
    products.insert_many(copies).await.unwrap();
    let suppliers = api.database.collection("suppliers");
    suppliers.update_one(doc! {}, link).await.unwrap();
    let before = api.database.events().await.len();

    api.delete(format!("/suppliers/{}", id(&supplier))).await.is(204);
    assert_eq!(api.database.events().await.len(), before + 1 + PRODUCTS);
    let live = products.count_documents(doc! { "status": { "$ne": "deleted" } }).await.unwrap();
    assert_eq!(live, 0);
}

/// The list follows the products silently: no event, no version, no new updated_at.
#[tokio::test]
async fn product_ids_follow_the_products() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let before = seen(&api, &supplier).await;
    let (first, second) = (api.draft(&supplier).await, api.draft(&supplier).await);
    let mut expected = before.clone();
    expected["product_ids"] = json!([first["id"], second["id"]]);
    assert_eq!(seen(&api, &supplier).await, expected);
    api.delete(format!("/products/{}", id(&first))).supplier(&supplier).await.is(204);
    expected["product_ids"] = json!([second["id"]]);
    assert_eq!(seen(&api, &supplier).await, expected);
    assert_eq!(api.database.events_of(id(&supplier)).await.len(), 1, "created, nothing since");

    // The next write of the supplier itself carries the list as it is then.
    let path = format!("/suppliers/{}", id(&supplier));
    let answer = api.patch(path).json(&json!({ "legal_name": "New Name" })).await;
    let changed = answer.is(200).json();
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["product_ids"], expected["product_ids"]);
    api.database.event_of(&answer).await.carries("supplier.updated", &changed);
    let kept = api.get(format!("/products/{}", id(&second))).await.is(200).json();
    assert_eq!(kept["supplier_info"]["name"], "Turing Tools Ltd", "copied when it was made");
}

#[tokio::test]
async fn bank_details_are_for_the_supplier_alone() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let other = api.supplier().await;
    let path = format!("/suppliers/{}", id(&supplier));
    let details = &new_supplier()["banking_info"];
    assert_eq!(&supplier["banking_info"], details, "answered to whom it belongs");
    assert_eq!(&api.get(&path).supplier(&supplier).await.is(200).json()["banking_info"], details);
    let own_change = api.patch(&path).supplier(&supplier).json(&json!({ "primary_phone": "1" }));
    assert_eq!(
        &own_change.await.is(200).json()["banking_info"],
        details,
        "and not lost by a change"
    );

    let change = api.patch(&path).json(&json!({ "primary_phone": "2" }));
    let answers = [
        api.get(&path).await,
        api.get(&path).supplier(&other).await,
        api.get(&path).user(&supplier).await,
        change.await,
        api.get("/suppliers").await,
        api.get("/suppliers").supplier(&supplier).await,
    ];
    for answer in answers {
        answer.is(200);
        let text = &answer.text;
        assert!(
            !text.contains("Secret Bank") && !text.contains("last4-secret"),
            "{}: {text}",
            answer.what
        );
    }
    for event in api.database.events_of(id(&supplier)).await {
        assert_eq!(event.payload["data"].get("banking_info"), None, "{event:?}");
    }
}

/// Neither a password nor a hash of it is ever answered.
#[tokio::test]
async fn passwords_are_answered_to_nobody() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let (user, own) = (format!("/users/{}", id(&user)), format!("/suppliers/{}", id(&supplier)));
    let answers = [
        api.get(&user).await,
        api.patch(&user).json(&json!({ "bio": "x" })).await,
        api.get("/users").await,
        api.get(&own).supplier(&supplier).await,
        api.patch(&own).supplier(&supplier).json(&json!({ "dba_name": "x" })).await,
        api.get("/suppliers").await,
    ];
    for answer in answers {
        answer.is(200);
        assert!(
            !answer.text.contains("password") && !answer.text.contains("argon2"),
            "{}",
            answer.what
        );
    }
}

//! What an order freezes, and how it is numbered.

use std::collections::HashSet;

use futures::future::join_all;
use mongodb::IndexModel;
use mongodb::bson::doc;
use mongodb::options::IndexOptions;
use serde_json::{Value, json};

use crate::call::id;
use crate::fixtures::{new_order, new_product, shipping_address, variant};
use crate::harness::Api;

async fn order_of(api: &Api, user: &Value, items: Value) -> Value {
    let body = json!({ "items": items, "shipping_address": shipping_address() });
    api.post("/orders").user(user).json(&body).await.is(201).json()
}

#[tokio::test]
async fn prices_totals_and_images_come_from_what_was_ordered() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let mut body = new_product();
    body["variants"]["plain"] = variant("Plain kettle", 0);
    body["variants"]["plain"].as_object_mut().unwrap().remove("image_url");
    body["variants"]["plain"]["attributes"] = json!([]);
    let product = api.post("/products").supplier(&supplier).json(&body).await.is(201).json();
    let product = api.act(&supplier, &product, "publish").await;
    let line = |variant: Value, quantity: i64| json!({ "product_id": product["id"], "variant_name": variant, "quantity": quantity });
    let items = json!([line(Value::Null, 3), line(json!("red"), 99), line(json!("plain"), 1)]);
    let order = order_of(&api, &user, items).await;

    const NO_IMAGE: &str = "https://placeholder.com/default.jpg";
    let expected = [
        ("item_1", Value::Null, json!({}), NO_IMAGE, 3, 2500, 7500),
        (
            "item_2",
            json!("red"),
            json!({ "colour": "Red kettle" }),
            "https://cdn.example.com/2700.jpg",
            99,
            2700,
            267_300,
        ),
        ("item_3", json!("plain"), json!({}), NO_IMAGE, 1, 0, 0),
    ];
    assert_eq!(order["items"].as_array().unwrap().len(), expected.len());
    for (item, line) in order["items"].as_array().unwrap().iter().zip(expected) {
        let (item_id, variant, attributes, image, quantity, unit, total) = line;
        let snapshot = json!({
            "product_id": product["id"], "supplier_id": supplier["id"], "product_name": "Kettle",
            "variant_name": variant, "variant_attributes": attributes, "image_url": image,
            "supplier_name": "Turing Tools Ltd" });
        let expected = json!({
            "item_id": item_id, "product_snapshot": snapshot, "quantity": quantity,
            "unit_price_cents": unit, "final_price_cents": unit, "total_cents": total,
            "fulfillment_status": "pending", "shipped_quantity": 0, "tracking_number": null,
            "carrier": null, "shipped_at": null, "delivered_at": null });
        assert_eq!(item, &expected);
    }
    assert_eq!(order["shipping_address"], shipping_address());
}

/// A total beyond 64 bits cannot be told, so it is refused.
#[tokio::test]
async fn a_total_beyond_all_bounds_is_refused() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let mut body = new_product();
    body["base_price_cents"] = json!(i64::MAX);
    let product = api.post("/products").supplier(&supplier).json(&body).await.is(201).json();
    let product = api.act(&supplier, &product, "publish").await;
    let call = api.post("/orders").user(&user).json(&new_order(&product));
    api.refuses(call, 422, "VALIDATION_ERROR").await;
    let one = order_of(&api, &user, json!([{ "product_id": product["id"], "quantity": 1 }])).await;
    assert_eq!(one["items"][0]["total_cents"], i64::MAX);
}

#[tokio::test]
async fn later_changes_do_not_reach_an_order() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let items = json!([{ "product_id": product["id"], "variant_name": "red", "quantity": 1 }]);
    let order = order_of(&api, &user, items).await;

    let change = json!({ "name": "Other", "base_price_cents": 1, "variants": {} });
    let path = format!("/products/{}", id(&product));
    api.patch(&path).supplier(&supplier).json(&change).await.is(200);
    let path = format!("/users/{}", id(&user));
    api.patch(path).json(&json!({ "display_name": "Other", "phone": "9" })).await.is(200);
    let path = format!("/suppliers/{}", id(&supplier));
    api.patch(&path).json(&json!({ "legal_name": "Other Ltd" })).await.is(200);
    api.delete(&path).await.is(204);

    let path = format!("/orders/{}", id(&order));
    assert_eq!(api.get(path).user(&user).await.is(200).json(), order);
}

#[tokio::test]
async fn order_numbers_have_their_form_and_are_unique() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let placed = join_all((0..30).map(|_| api.order(&user, &product))).await;
    let mut numbers = HashSet::new();
    for order in &placed {
        let number = order["order_number"].as_str().unwrap();
        let day = &order["created_at"].as_str().unwrap()[..10].replace('-', "");
        let suffix =
            number.strip_prefix(&format!("ORD-{day}-")).unwrap_or_else(|| panic!("{number}"));
        assert_eq!(suffix.len(), 4, "{number}");
        assert!(suffix.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()), "{number}");
        assert!(numbers.insert(number.to_owned()), "{number} twice");
    }
}

/// A number that is taken is drawn again, as often as it needs. Here every number is
/// taken, because the index of that name is one that the first order fills, until it goes.
#[tokio::test]
async fn a_taken_order_number_is_drawn_again() {
    const INDEX: &str = "order_number_unique";
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let first = api.order(&user, &product).await;
    let orders = api.database.collection("orders");
    orders.drop_index(INDEX).await.unwrap();
    let options = IndexOptions::builder().unique(true).name(INDEX.to_owned()).build();
    let full = IndexModel::builder().keys(doc! { "status": 1 }).options(options).build();
    orders.create_index(full).await.unwrap();

    let freed = async {
        let collided = "api_commit_failures_total{reason=\"duplicate\"} 3";
        let draws = "three draws have collided";
        api.server.until(draws, async || api.get("/metrics").await.text.contains(collided)).await;
        orders.drop_index(INDEX).await.unwrap();
    };
    let (order, ()) = tokio::join!(api.order(&user, &product), freed);
    assert_ne!(order["order_number"], first["order_number"]);
    assert_eq!(api.database.all("orders").await.len(), 2, "what collided left nothing");
    assert_eq!(api.database.events_of(id(&order)).await.len(), 1);
}

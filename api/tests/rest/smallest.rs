//! Requests with nothing but what they need.

use serde_json::json;

use crate::documents;
use crate::fixtures::new_user;
use crate::harness::Api;

/// Everything that a client may leave out is there in the answer, as its default.
#[tokio::test]
async fn the_smallest_requests_are_enough() {
    let api = Api::start().await;
    let user = json!({ "email": "a@example.com", "password": "12345678", "display_name": "A" });
    let user = api.post("/users").json(&user).await.is(201).json();
    documents::user().check(&user);
    let address = json!({ "street_address_1": "1", "city": "C", "state": "S", "zip_code": "1", "country": "us" });
    let supplier = json!({ "password": "12345678",
        "contact_info": { "primary_email": "a@example.com", "primary_phone": "1" },
        "company_info": { "legal_name": "AB", "business_address": address } });
    let supplier = api.post("/suppliers").json(&supplier).await.is(201).json();
    documents::supplier().check(&supplier);
    assert!(supplier["banking_info"].is_null());
    let product =
        json!({ "name": "N", "category": "other", "base_sku": "S", "base_price_cents": 0 });
    let product = api.post("/products").supplier(&supplier).json(&product).await.is(201).json();
    documents::product().check(&product);
    assert_eq!(product["unit_type"], "piece");
    assert_eq!(product["variants"], json!({}));
    let product = api.act(&supplier, &product, "publish").await;
    assert_eq!(product["published_at"], product["updated_at"]);
    let mut address = address;
    address["recipient_name"] = json!("A");
    let order = json!({ "items": [{ "product_id": product["id"], "quantity": 1 }], "shipping_address": address });
    let order = api.post("/orders").user(&user).json(&order).await.is(201).json();
    documents::order().check(&order);
    let post = json!({ "post_type": "text", "text_content": "T" });
    let post = api.post("/posts").user(&user).json(&post).await.is(201).json();
    documents::post().check(&post);
    assert_eq!(post["published_at"], post["created_at"], "published at once");
}

/// A trace that comes in goes on in the event.
#[tokio::test]
async fn a_traceparent_travels_into_the_outbox() {
    let api = Api::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = api.post("/users").header("traceparent", trace).json(&new_user()).await;
    assert_eq!(api.database.event_of(answer.is(201)).await.traceparent.as_deref(), Some(trace));
    let without = api.post("/users").json(&new_user()).await;
    assert_eq!(api.database.event_of(without.is(201)).await.traceparent, None);
}

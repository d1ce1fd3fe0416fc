//! What the state of things forbids, and what it allows.

use serde_json::{Value, json};

use crate::call::id;
use crate::fixtures::{email, new_order, new_post, new_product, new_supplier, new_user};
use crate::harness::Api;

/// Every state of a product with every action that it does not allow.
#[tokio::test]
async fn products_refuse_what_their_state_does_not_allow() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let product = api.draft(&supplier).await;
    let refused: [(&str, &[&str]); 4] = [
        ("draft", &["discontinue", "mark-out-of-stock", "restore"]),
        ("active", &["publish", "restore"]),
        ("out_of_stock", &["publish", "mark-out-of-stock"]),
        ("discontinued", &["publish", "discontinue", "mark-out-of-stock"]),
    ];
    for (status, actions) in refused {
        api.database.set("products", id(&product), "status", status).await;
        for action in actions {
            let call = api.post(format!("/products/{}/{action}", id(&product)));
            api.refuses(call.supplier(&supplier), 409, "STATE_CONFLICT").await;
        }
    }
}

/// The transitions that the lives of documents do not go through.
#[tokio::test]
async fn products_allow_the_rest() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let product = api.draft(&supplier).await;
    for (status, action, then) in
        [("out_of_stock", "discontinue", "discontinued"), ("out_of_stock", "restore", "draft")]
    {
        api.database.set("products", id(&product), "status", status).await;
        assert_eq!(api.act(&supplier, &product, action).await["status"], then);
    }
    for status in ["active", "out_of_stock", "discontinued"] {
        let product = api.draft(&supplier).await;
        api.database.set("products", id(&product), "status", status).await;
        api.delete(format!("/products/{}", id(&product))).supplier(&supplier).await.is(204);
    }
}

#[tokio::test]
async fn orders_are_cancelled_only_before_they_are_packed() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let order = api.order(&user, &api.active_product(&supplier).await).await;
    let path = format!("/orders/{}/cancel", id(&order));
    for status in ["processing", "shipped", "delivered", "cancelled", "refunded", "failed"] {
        api.database.set("orders", id(&order), "status", status).await;
        api.refuses(api.post(&path).user(&user), 409, "STATE_CONFLICT").await;
    }
    api.database.set("orders", id(&order), "status", "confirmed").await;
    assert_eq!(api.post(&path).user(&user).await.is(200).json()["status"], "cancelled");
}

#[tokio::test]
async fn posts_are_published_once() {
    let api = Api::start().await;
    let user = api.user().await;
    for post in [api.post_by(&user).await, api.draft_post(&user).await] {
        let path = format!("/posts/{}/publish", id(&post));
        if post["published_at"].is_null() {
            api.post(&path).user(&user).await.is(200);
        }
        api.refuses(api.post(&path).user(&user), 409, "STATE_CONFLICT").await;
    }
}

/// An address is taken however it is written; users and suppliers do not share theirs.
#[tokio::test]
async fn an_address_is_taken_once() {
    let api = Api::start().await;
    let address = email();
    let (mut user, mut supplier) = (new_user(), new_supplier());
    user["email"] = json!(address);
    supplier["contact_info"]["primary_email"] = json!(address);
    let user = api.post("/users").json(&user).await.is(201).json();
    api.post("/suppliers").json(&supplier).await.is(201);
    for same in [address.clone(), address.to_uppercase(), format!(" \t{address}\n")] {
        let (mut user, mut supplier) = (new_user(), new_supplier());
        user["email"] = json!(same);
        supplier["contact_info"]["primary_email"] = json!(same);
        api.refuses(api.post("/users").json(&user), 409, "DUPLICATE_RESOURCE").await;
        api.refuses(api.post("/suppliers").json(&supplier), 409, "DUPLICATE_RESOURCE").await;
    }
    // The account is gone, but its document and its address are still there.
    api.delete(format!("/users/{}", id(&user))).await.is(204);
    let mut again = new_user();
    again["email"] = json!(address);
    api.refuses(api.post("/users").json(&again), 409, "DUPLICATE_RESOURCE").await;
}

#[tokio::test]
async fn orders_need_a_live_buyer_and_active_products() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let active = api.active_product(&supplier).await;
    let unknown = json!({ "id": "0".repeat(24) });
    let order = |product: &Value| {
        let mut body = new_order(&active);
        body["items"] = json!([
            { "product_id": active["id"], "quantity": 1 },
            { "product_id": product["id"], "quantity": 1 },
        ]);
        api.post("/orders").user(&user).json(&body)
    };
    api.refuses(order(&unknown), 404, "RESOURCE_NOT_FOUND").await;
    let other = api.draft(&supplier).await;
    for status in ["draft", "out_of_stock", "discontinued"] {
        api.database.set("products", id(&other), "status", status).await;
        api.refuses(order(&other), 409, "STATE_CONFLICT").await;
    }
    api.database.set("products", id(&other), "status", "deleted").await;
    api.refuses(order(&other), 404, "RESOURCE_NOT_FOUND").await;

    let nobody = api.post("/orders").user(&unknown).json(&new_order(&active));
    api.refuses(nobody, 404, "RESOURCE_NOT_FOUND").await;
    let nobody = api.post("/posts").user(&unknown).json(&new_post());
    api.refuses(nobody, 404, "RESOURCE_NOT_FOUND").await;
    let nobody = api.post("/products").supplier(&unknown).json(&new_product());
    api.refuses(nobody, 404, "RESOURCE_NOT_FOUND").await;

    let mut body = new_order(&active);
    body["items"][0]["variant_name"] = json!("green");
    let answer = api.post("/orders").user(&user).json(&body).await;
    answer.names("items[0].variant_name");
    api.refuses(api.post("/orders").user(&user).json(&body), 422, "VALIDATION_ERROR").await;
}

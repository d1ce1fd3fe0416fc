//! Both edges of every limit in the contract, and nothing stored beyond them.

use serde_json::{Value, json};

use crate::call::id;
use crate::edges::{Field, any_text, country, email, int, list, probe, text, word};
use crate::fixtures::{new_order, new_post, new_supplier, new_user};
use crate::harness::Api;

/// Asserts that exactly `documents` are in the collection, and `events` in the outbox.
pub async fn holds(api: &Api, collection: &str, documents: usize, events: usize) {
    assert_eq!(api.database.all(collection).await.len(), documents, "{collection}");
    assert_eq!(api.database.events().await.len(), events, "events");
}

#[tokio::test]
async fn users() {
    let api = Api::start().await;
    let create = [
        email("/email"),
        text("/password", 8, 128),
        text("/display_name", 1, 100).refuses(json!(" \t ")),
        text("/phone", 0, 20).optional(),
        text("/bio", 0, 500).optional(),
    ];
    let created = probe(&create, new_user, |body| api.post("/users").json(body), 201).await;
    holds(&api, "users", created, created).await;

    let user = api.database.all("users").await[0].get_object_id("_id").unwrap();
    let update = [
        text("/display_name", 1, 100).refuses(json!("  ")).optional(),
        text("/phone", 0, 20).optional(),
        text("/bio", 0, 500).optional(),
        any_text("/avatar").optional(),
    ];
    let change = |body: &Value| api.patch(format!("/users/{user}")).json(body);
    let changed = probe(&update, || json!({}), change, 200).await;
    holds(&api, "users", created, created + changed).await;
}

fn address(pointer: [&'static str; 6]) -> [Field; 6] {
    let [street_1, street_2, city, state, zip_code, code] = pointer;
    [
        text(street_1, 1, 200),
        text(street_2, 0, 200).optional(),
        text(city, 1, 100),
        text(state, 1, 100),
        text(zip_code, 1, 20),
        country(code),
    ]
}

#[tokio::test]
async fn suppliers() {
    let api = Api::start().await;
    let mut create = vec![
        text("/password", 8, 128),
        email("/contact_info/primary_email"),
        any_text("/contact_info/primary_phone"),
        any_text("/contact_info/contact_person_name").optional(),
        any_text("/contact_info/contact_person_email").optional(),
        list("/contact_info/additional_emails", 0, None, &json!("x@example.com")).with_default(),
        text("/company_info/legal_name", 2, 200),
        text("/company_info/dba_name", 0, 200).optional(),
        any_text("/business_info/timezone").optional(),
        any_text("/banking_info/bank_name").optional(),
    ];
    create.extend(address([
        "/company_info/business_address/street_address_1",
        "/company_info/business_address/street_address_2",
        "/company_info/business_address/city",
        "/company_info/business_address/state",
        "/company_info/business_address/zip_code",
        "/company_info/business_address/country",
    ]));
    create.push(country("/company_info/shipping_address/country"));
    let created = probe(&create, new_supplier, |body| api.post("/suppliers").json(body), 201).await;
    holds(&api, "suppliers", created, created).await;

    let supplier = api.database.all("suppliers").await[0].get_object_id("_id").unwrap();
    let update = [
        any_text("/primary_phone").optional(),
        text("/legal_name", 2, 200).optional(),
        text("/dba_name", 0, 200).optional(),
        any_text("/support_email").optional(),
        any_text("/support_phone").optional(),
    ];
    let change = |body: &Value| api.patch(format!("/suppliers/{supplier}")).json(body);
    let changed = probe(&update, || json!({}), change, 200).await;
    holds(&api, "suppliers", created, created + changed).await;
}

#[tokio::test]
async fn orders() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let line = json!({ "product_id": product["id"], "quantity": 1 });
    let mut create = vec![
        list("/items", 1, Some(20), &line),
        int("/items/0/quantity", 1, Some(99)),
        any_text("/items/0/product_id").refuses(json!("zz")).only(&product["id"]),
        text("/shipping_address/recipient_name", 1, 200),
        text("/shipping_address/phone", 0, 20).optional(),
    ];
    create.extend(address([
        "/shipping_address/street_address_1",
        "/shipping_address/street_address_2",
        "/shipping_address/city",
        "/shipping_address/state",
        "/shipping_address/zip_code",
        "/shipping_address/country",
    ]));
    let send = |body: &Value| api.post("/orders").user(&user).json(body);
    let created = probe(&create, || new_order(&product), send, 201).await;
    holds(&api, "orders", created, 4 + created).await;
}

/// A list of the right values in the right order is no object either.
#[tokio::test]
async fn lists_do_not_stand_for_objects() {
    let api = Api::start().await;
    let user = api.user().await;
    let list = json!(["a@example.com", "a password", "Ada", null, null]);
    api.refuses(api.post("/users").json(&list), 422, "VALIDATION_ERROR").await;
    let path = format!("/users/{}", id(&user));
    api.refuses(api.patch(path).json(&json!([])), 422, "VALIDATION_ERROR").await;
    for field in ["contact_info", "company_info", "business_info", "banking_info"] {
        let mut body = new_supplier();
        body[field] = json!([]);
        let details =
            api.refuses(api.post("/suppliers").json(&body), 422, "VALIDATION_ERROR").await;
        assert!(details[field].is_string(), "{details}");
    }
}

/// Nothing, null and an empty object say the same; what is said has its limits.
#[tokio::test]
async fn reasons_for_cancelling() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let cancel = async |body: Option<&Value>| {
        let order = api.order(&user, &product).await;
        let call = api.post(format!("/orders/{}/cancel", id(&order))).user(&user);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        (order, call)
    };
    cancel(None).await.1.await.is(200);
    for allowed in [
        json!({}),
        json!({ "reason": null }),
        json!({ "reason": "é".repeat(5) }),
        json!({ "reason": "é".repeat(500) }),
    ] {
        cancel(Some(&allowed)).await.1.await.is(200);
    }
    for refused in [
        json!({ "reason": "é".repeat(4) }),
        json!({ "reason": "é".repeat(501) }),
        json!({ "reason": 12345 }),
    ] {
        let (order, call) = cancel(Some(&refused)).await;
        api.refuses(call, 422, "VALIDATION_ERROR").await;
        let path = format!("/orders/{}", id(&order));
        assert_eq!(api.get(path).user(&user).await.is(200).json()["status"], "pending");
    }
}

#[tokio::test]
async fn posts() {
    let api = Api::start().await;
    let user = api.user().await;
    let media = json!({ "media_type": "image", "media_url": "u" });
    let parts = || {
        vec![
            list("/media", 0, Some(10), &media).with_default(),
            word("/media/0/media_type", &["image", "video", "gif"]),
            any_text("/media/0/media_url"),
            int("/media/0/width", 0, None).optional(),
            int("/media/0/height", 0, None).optional(),
            int("/media/0/duration_seconds", 0, None).optional(),
            int("/media/0/size_bytes", 0, None).optional(),
            any_text("/link_preview/url"),
            text("/link_preview/title", 0, 200),
            text("/link_preview/description", 0, 500).optional(),
        ]
    };
    let mut create = vec![
        word("/post_type", &["text", "image", "video", "link", "poll"]),
        text("/text_content", 1, 5000),
    ];
    create.extend(parts());
    let send = |body: &Value| api.post("/posts").user(&user).json(body);
    let created = probe(&create, new_post, send, 201).await;
    holds(&api, "posts", created, 1 + created).await;

    let post = api.database.all("posts").await[0].get_object_id("_id").unwrap();
    let mut update = vec![text("/text_content", 1, 5000).optional()];
    update.extend(parts());
    let change = |body: &Value| api.patch(format!("/posts/{post}")).user(&user).json(body);
    let changed = probe(&update, new_post, change, 200).await;
    holds(&api, "posts", created, 1 + created + changed).await;
}

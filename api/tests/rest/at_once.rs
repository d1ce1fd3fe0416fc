//! A request is told everything that is wrong with it, not the first thing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::call::{Call, keys};
use crate::fixtures::{new_order, new_product, new_supplier, new_user};
use crate::harness::Api;

/// Asserts that exactly these fields are named, and that nothing was written.
async fn names(api: &Api, call: Call, fields: &[&str]) {
    let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
    assert_eq!(keys(&details), fields, "{details}");
}

#[tokio::test]
async fn types_rules_and_missing_fields_are_named_together() {
    let api = Api::start().await;
    let user = json!({ "email": 7, "password": "short", "display_name": " ", "phone": ["1"] });
    let wrong = ["display_name", "email", "password", "phone"];
    names(&api, api.post("/users").json(&user), &wrong).await;
    names(&api, api.post("/users").json(&json!({})), &["display_name", "email", "password"]).await;

    let mut supplier = new_supplier();
    supplier["contact_info"] = json!([]);
    supplier["company_info"]["legal_name"] = json!("x");
    supplier["company_info"]["business_address"]["country"] = json!(44);
    supplier["company_info"]["business_address"].as_object_mut().unwrap().remove("city");
    supplier["business_info"]["timezone"] = json!(1);
    let wrong = [
        "business_info.timezone",
        "company_info.business_address.city",
        "company_info.business_address.country",
        "company_info.legal_name",
        "contact_info",
    ];
    names(&api, api.post("/suppliers").json(&supplier), &wrong).await;
}

#[tokio::test]
async fn so_are_fields_deep_inside() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let mut product = new_product();
    product["category"] = json!("spaceships");
    product["unit_type"] = json!(3);
    product["base_price_cents"] = json!(-1);
    product["stock_locations"][0]["quantity"] = json!("4");
    product["topic_descriptions"][0]["topic"] = json!("");
    product["variants"]["red"]["package_dimensions"]["width_cm"] = json!("wide");
    product["variants"]["red"]["package_dimensions"]["depth_cm"] = json!(0);
    product["variants"]["blue"]["attributes"] = json!([{ "attribute_name": 1 }, null]);
    let wrong = [
        "base_price_cents",
        "category",
        "stock_locations[0].quantity",
        "topic_descriptions[0].topic",
        "unit_type",
        "variants.blue.attributes[0].attribute_name",
        "variants.blue.attributes[0].attribute_value",
        "variants.blue.attributes[1]",
        "variants.red.package_dimensions.depth_cm",
        "variants.red.package_dimensions.width_cm",
    ];
    let call = api.post("/products").supplier(&supplier).json(&product);
    names(&api, call, &wrong).await;
}

/// Ids are judged by their own type, which ends a reading: still all are named.
#[tokio::test]
async fn so_are_ids_that_are_none() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let mut order = new_order(&api.active_product(&supplier).await);
    let line = order["items"][0].clone();
    let bad = |id: Value, quantity: i64| json!({ "product_id": id, "quantity": quantity });
    order["items"] = json!([bad(json!("zz"), 1), line, bad(json!(7), 100), bad(json!(""), 0), 5]);
    order["shipping_address"]["country"] = json!("GBR");
    let wrong = [
        "items[0].product_id",
        "items[2].product_id",
        "items[2].quantity",
        "items[3].product_id",
        "items[3].quantity",
        "items[4]",
        "shipping_address.country",
    ];
    names(&api, api.post("/orders").user(&user).json(&order), &wrong).await;
}

#[tokio::test]
async fn so_are_parameters_of_a_query() {
    let api = Api::start().await;
    for (query, wrong) in [
        ("skip=-1&limit=0", &["limit", "skip"][..]),
        ("skip=x&limit=101", &["limit", "skip"]),
        ("limit=99999999999999999999&skip=1.5", &["limit", "skip"]),
        (
            "limit=0&status=gone&category=none&supplier_id=1&cursor=x",
            &["category", "cursor", "limit", "status", "supplier_id"],
        ),
        ("limit=1&limit=2", &["limit"]),
        ("status=active&status=draft", &["status"]),
    ] {
        names(&api, api.get(format!("/products?{query}")), wrong).await;
    }
    api.get("/products?skip=0&limit=100&status=draft,,active&unknown=1&unknown=2").await.is(200);
}

/// One request that is wrong thousands of times costs a bounded amount of work.
#[tokio::test]
async fn a_large_request_that_is_wrong_all_over_is_answered_soon() {
    let api = Api::start().await;
    let user = api.user().await;
    let mut order = json!({ "items": [], "shipping_address": {} });
    order["items"] = json!(vec![json!({ "product_id": "no id", "quantity": "x" }); 20_000]);
    let call = api.call(Method::POST, "/orders").user(&user).json(&order);
    let asked = std::time::Instant::now();
    let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
    assert!(details["items[0].product_id"].is_string(), "{details}");
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    let mut user = new_user();
    user["email"] = json!(null);
    names(&api, api.post("/users").json(&user), &["email"]).await;
}

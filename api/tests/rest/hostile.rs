//! Requests that are made to hurt: none may end the process or be answered with more than it
//! is worth.

use mongodb::bson::doc;
use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::database::{Database, mongodb_url};
use crate::fixtures::{new_order, new_product, new_supplier, new_user};
use crate::harness::{Api, Server};
use crate::process::Process;

const MEBIBYTE: usize = 1024 * 1024;
/// What a refusal may weigh.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The worker threads' stacks are a quarter of the main thread's.
#[tokio::test]
async fn a_parameter_that_is_given_again_and_again_does_no_harm() {
    let database = Database::fresh().await;
    let threads = ["--threads", "2"];
    let mut process = Process::start(&mongodb_url(), &database.name, &threads).await;
    for repeated in ["a&".repeat(32_000), "a=1&".repeat(101), format!("a={}", "x".repeat(9_000))] {
        let path = format!("/users?{repeated}");
        let answer = process.call(Method::GET, &path).into_request().send().await;
        assert!(!process.has_ended(), "the process has ended");
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 422);
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(body["error"]["details"]["query"].is_string(), "{body}");
    }
    process.call(Method::GET, "/users?a=1&a=2&a=3").await.is(200);
    process.call(Method::GET, "/users?limit=1&limit=2&limit=3").await.names("limit");
}

/// As `list`, with as many items as a body may have.
fn filled(template: &Value, pointer: &str, item: &Value) -> String {
    const MARK: &str = "\"here\"";
    let mut body = template.clone();
    *body.pointer_mut(pointer).unwrap() = json!(["here"]);
    let (body, item) = (body.to_string(), item.to_string());
    let items = (MEBIBYTE - body.len()) / (item.len() + 1);
    body.replace(MARK, &vec![item; items].join(","))
}

#[tokio::test]
async fn a_refusal_is_small_however_much_is_wrong() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let (product, order) = (new_product(), new_order(&json!({ "id": "0".repeat(24) })));
    let line = json!({ "product_id": "0".repeat(24), "quantity": 0 });
    let long = "k".repeat(400_000);
    let mut long_key = new_product();
    long_key["variants"] = json!({ long.clone(): { "variant_id": 1, "price_cents": "x" } });
    let mut long_word = new_product();
    long_word["category"] = json!(long);
    let bodies = [
        ("/suppliers", filled(&new_supplier(), "/contact_info/additional_emails", &json!(1))),
        ("/suppliers", filled(&new_supplier(), "/contact_info/additional_emails", &json!(""))),
        ("/products", filled(&product, "/topic_descriptions", &json!({}))),
        (
            "/products",
            filled(&product, "/topic_descriptions", &json!({ "topic": "", "description": "" })),
        ),
        ("/products", filled(&product, "/variants/red/attributes", &json!(1))),
        ("/products", filled(&product, "/stock_locations", &json!([]))),
        ("/products", long_key.to_string()),
        ("/products", long_word.to_string()),
        ("/orders", filled(&order, "/items", &line)),
    ];
    for (path, body) in bodies {
        let call = api.post(path).user(&user).supplier(&supplier).bytes(body);
        let answer = call.await;
        let details = answer.refused(422, "VALIDATION_ERROR");
        assert!(answer.text.len() < REFUSAL_BYTES, "{path}: {} bytes", answer.text.len());
        assert!(!details.as_object().unwrap().is_empty(), "{path}");
    }
    let mut wrong = new_product();
    let topic = json!({ "topic": "", "description": "" });
    wrong["topic_descriptions"] = json!(vec![topic; 60]);
    let details = api.post("/products").supplier(&supplier).json(&wrong).await;
    let details = details.refused(422, "VALIDATION_ERROR");
    assert_eq!(details.as_object().unwrap().len(), 51, "fifty fields, and that more are wrong");
    assert!(details["…"].is_string(), "{details}");
}

#[tokio::test]
async fn what_a_client_calls_its_request_has_a_form() {
    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let api = Api::start().await;
    let (long, longer) = ("a".repeat(40_000), format!("{SOUND}-{}", "x".repeat(300)));
    for broken in [&*long, &longer, "", "00-0-0-00", &SOUND.to_uppercase()] {
        let answer = api.post("/users").header("traceparent", broken).json(&new_user()).await;
        let event = api.database.event_of(answer.is(201)).await;
        assert_eq!(event.traceparent, None, "{broken}");
    }
    let twice = api.post("/users").header("traceparent", SOUND).header("traceparent", SOUND);
    let event = api.database.event_of(twice.json(&new_user()).await.is(201)).await;
    assert_eq!(event.traceparent, None, "it is unclear which one counts");

    for broken in [&*long, "", "a b", "é", &"x".repeat(129)] {
        let answer = api.get("/users").header("x-request-id", broken).await;
        let given = answer.is(200).header("x-request-id").unwrap_or_default().to_owned();
        assert!(given != broken && (1..=128).contains(&given.len()), "{given}");
    }
    let named = api.get("/users").header("x-request-id", "Mine_1.2-3").await;
    assert_eq!(named.is(200).header("x-request-id"), Some("Mine_1.2-3"));
}

/// Names of attributes become keys of an order's document.
#[tokio::test]
async fn attributes_may_be_called_anything_that_can_be_stored() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let mut body = new_product();
    let attribute = |name: &str| json!([{ "attribute_name": name, "attribute_value": "v" }]);
    body["variants"]["red"]["attributes"] = attribute("a\0b");
    let call = api.post("/products").supplier(&supplier).json(&body);
    let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
    assert!(details["variants.red.attributes[0].attribute_name"].is_string(), "{details}");

    for name in ["$ref", "$id", "$db", "$set", "a.b", "_id", "", " "] {
        body["variants"]["red"]["attributes"] = attribute(name);
        let answer = api.post("/products").supplier(&supplier).json(&body).await;
        if name.is_empty() {
            answer.is(422);
            continue;
        }
        let product = answer.is(201).json();
        let product = api.act(&supplier, &product, "publish").await;
        let mut order = new_order(&product);
        order["items"][0]["variant_name"] = json!("red");
        let order = api.post("/orders").user(&user).json(&order).await.is(201).json();
        let attributes = &order["items"][0]["product_snapshot"]["variant_attributes"];
        assert_eq!(*attributes, json!({ name: "v" }));
    }

    // Stored before there was a rule: it can be ordered still.
    let product = api.active_product(&supplier).await;
    let stored = doc! { "attribute_name": "a\0b", "attribute_value": "v" };
    api.database.set("products", id(&product), "variants.red.attributes", vec![stored]).await;
    let mut order = new_order(&product);
    order["items"][0]["variant_name"] = json!("red");
    let order = api.post("/orders").user(&user).json(&order).await.is(201).json();
    let attributes = &order["items"][0]["product_snapshot"]["variant_attributes"];
    assert_eq!(*attributes, json!({ "ab": "v" }));
}

/// Copied from another service, such a URL must not make every transaction fail.
#[tokio::test]
async fn the_url_may_name_other_preferences() {
    for preferences in [
        "readPreference=secondaryPreferred",
        "readPreference=nearest&maxStalenessSeconds=120",
        "readConcernLevel=linearizable",
        "readConcernLevel=available",
    ] {
        let url = format!("{}&{preferences}", mongodb_url());
        let database = Database::fresh().await;
        let server = Server::start(&url, &database.name).await;
        server.until_ready().await;
        let api = Api { server, database };
        let (user, supplier) = (api.user().await, api.supplier().await);
        let product = api.active_product(&supplier).await;
        api.order(&user, &product).await;
        let path = format!("/users/{}", id(&user));
        api.patch(&path).json(&json!({ "bio": "x" })).await.is(200);
        api.delete(&path).await.is(204);
        api.delete(format!("/suppliers/{}", id(&supplier))).await.is(204);
    }
}

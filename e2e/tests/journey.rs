//! Every event type, from its REST call to the rows it stands for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Client, Pipeline, Row, Rows, Servers, sample};
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::EventType;

/// Makes REST calls, each with the event that it must cause, and remembers both.
struct Traveller {
    client: Client,
    rows: Rows,
    caused: Vec<(&'static str, String)>,
}

impl Traveller {
    async fn create(&mut self, event: &'static str, path: &str, by: &str, body: Value) -> Value {
        self.call(event, 201, Method::POST, path, by, body).await
    }

    async fn patch(&mut self, event: &'static str, path: &str, by: &str, body: Value) -> Value {
        self.call(event, 200, Method::PATCH, path, by, body).await
    }

    /// A transition: a POST to the thing's own path.
    async fn step(&mut self, event: &'static str, path: &str, by: &str) -> Value {
        self.call(event, 200, Method::POST, path, by, Value::Null).await
    }

    async fn delete(&mut self, event: &'static str, path: &str, by: &str) {
        self.call(event, 204, Method::DELETE, path, by, Value::Null).await;
    }

    async fn call(
        &mut self,
        event: &'static str,
        status: u16,
        method: Method,
        path: &str,
        by: &str,
        body: Value,
    ) -> Value {
        let answer = self.client.expect(status, method, path, by, &body).await;
        let event_id = answer.event_id.unwrap_or_else(|| panic!("{path}: no X-Event-ID"));
        self.caused.push((event, event_id));
        answer.body
    }

    /// Waits for the row of the latest event.
    async fn row(&self, table: &str, key: &str, id: &str) -> Row {
        let (_, event_id) = self.caused.last().expect("something happened");
        let sql = format!("SELECT * FROM {table} WHERE {key} = '{id}'");
        self.rows.one(&sql, |row| row.get("event_id") == Some(event_id)).await
    }

    async fn gone(&self, table: &str, key: &str, id: &str) {
        self.rows.none(&format!("SELECT * FROM {table} WHERE {key} = '{id}'")).await;
    }
}

fn id(document: &Value) -> String {
    document["id"].as_str().expect("an id").to_owned()
}

fn assert_columns(row: &Row, expected: &[(&str, &str)]) {
    for (column, value) in expected {
        assert_eq!(row.get(*column).map(String::as_str), Some(*value), "{column} of {row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_the_contract_travels_from_rest_to_its_rows() {
    let pipeline = Pipeline::start(&Servers::shared(), "journey").await;
    let (client, rows) = (pipeline.client(), pipeline.rows());
    let mut traveller = Traveller { client, rows, caused: Vec::new() };

    let user = users(&mut traveller).await;
    let (supplier, product) = products(&mut traveller).await;
    orders(&mut traveller, &user, &supplier, &product).await;
    deliveries(&mut traveller, &user, &product).await;
    posts(&mut traveller, &user).await;
    deletions(&mut traveller, &user, &supplier, &product).await;

    let kinds: BTreeSet<_> = traveller.caused.iter().map(|(event, _)| *event).collect();
    let all = EventType::ALL.map(EventType::as_str);
    assert_eq!(kinds, BTreeSet::from(all), "all 24 are on their way");
    let log = pipeline.events().await;
    log.assert_exactly_once_in_order();
    for (event_type, event_id) in &traveller.caused {
        let event = log.of(event_id);
        assert_eq!(event.headers["event_type"], *event_type);
        assert_eq!(event.value["event_type"], *event_type);
        assert_eq!(event.value["entity_id"], event.key.as_str());
        assert_eq!(event.value.as_object().map(|keys| keys.len()), Some(5), "{event:?}");
        let text = event.value.to_string();
        for secret in ["password", "argon2", "banking", "4711"] {
            assert!(!text.contains(secret), "{event_type} leaks {secret}: {text}");
        }
    }
    pipeline.verify(Duration::from_secs(30)).await;
}

async fn users(traveller: &mut Traveller) -> String {
    let user =
        id(&traveller.create("user.created", "/users", "", sample::user("Ada@Example.com ")).await);
    let row = traveller.row("users", "user_id", &user).await;
    assert_columns(
        &row,
        &[
            ("email", "ada@example.com"),
            ("display_name", "Ada Lovelace"),
            ("phone", "+49 30 1234"),
            ("bio", "Countess of computing"),
            ("avatar", "https://cdn.example.com/avatars/default.jpg"),
            ("version", "1"),
        ],
    );
    let change = json!({ "display_name": "Countess", "bio": null });
    traveller.patch("user.updated", &format!("/users/{user}"), "", change).await;
    let row = traveller.row("users", "user_id", &user).await;
    assert_columns(
        &row,
        &[("display_name", "Countess"), ("phone", "+49 30 1234"), ("version", "2")],
    );
    assert!(!row.contains_key("bio"), "null clears: {row:?}");
    user
}

async fn products(traveller: &mut Traveller) -> (String, String) {
    let body = sample::supplier("harbour@example.com");
    let supplier = id(&traveller.create("supplier.created", "/suppliers", "", body).await);
    let row = traveller.row("suppliers", "supplier_id", &supplier).await;
    assert_columns(
        &row,
        &[("legal_name", "Harbour Goods GmbH"), ("country", "DE"), ("city", "Hamburg")],
    );
    let path = format!("/suppliers/{supplier}");
    traveller.patch("supplier.updated", &path, "", json!({ "support_phone": "+49 40 1" })).await;
    let row = traveller.row("suppliers", "supplier_id", &supplier).await;
    assert_columns(&row, &[("support_phone", "+49 40 1"), ("timezone", "Europe/Berlin")]);

    let by = supplier.as_str();
    let product =
        id(&traveller.create("product.created", "/products", by, sample::product()).await);
    let row = traveller.row("products", "product_id", &product).await;
    assert_columns(&row, &[("supplier_id", by), ("status", "draft"), ("base_price_cents", "4900")]);
    let path = format!("/products/{product}");
    let red =
        json!({ "name": "Lounger", "variants": { "red": sample::variant("DC-2", "Red", 6000) } });
    traveller.patch("product.updated", &path, by, red).await;
    let row = traveller.row("products", "product_id", &product).await;
    assert_columns(&row, &[("name", "Lounger"), ("supplier_name", "Harbour Goods GmbH")]);
    let variants = format!("SELECT * FROM product_variants WHERE product_id = '{product}'");
    let variant = traveller.rows.one(&variants, |_| true).await;
    assert_columns(
        &variant,
        &[
            ("variant_key", "red"),
            ("variant_id", "DC-2"),
            ("price_cents", "6000"),
            ("width_cm", "60.5"),
        ],
    );

    for (event, step, status) in [
        ("product.published", "publish", "active"),
        ("product.out_of_stock", "mark-out-of-stock", "out_of_stock"),
        ("product.discontinued", "discontinue", "discontinued"),
        ("product.restored", "restore", "draft"),
        ("product.published", "publish", "active"),
    ] {
        traveller.step(event, &format!("{path}/{step}"), by).await;
        let row = traveller.row("products", "product_id", &product).await;
        assert_columns(&row, &[("status", status)]);
    }
    (supplier, product)
}

async fn orders(traveller: &mut Traveller, user: &str, supplier: &str, product: &str) {
    let body = sample::order(product, Some("red"), 3);
    let order = traveller.create("order.created", "/orders", user, body).await;
    let number = order["order_number"].as_str().expect("a number").to_owned();
    let order = id(&order);
    let row = traveller.row("orders", "order_id", &order).await;
    assert_columns(
        &row,
        &[
            ("order_number", &number),
            ("customer_user_id", user),
            ("customer_display_name", "Countess"),
            ("shipping_country", "GB"),
            ("status", "pending"),
        ],
    );
    let items = format!("SELECT * FROM order_items WHERE order_id = '{order}'");
    let item = traveller.rows.one(&items, |_| true).await;
    assert_columns(
        &item,
        &[
            ("item_id", "item_1"),
            ("product_id", product),
            ("supplier_id", supplier),
            ("variant_name", "red"),
            ("unit_price_cents", "6000"),
            ("quantity", "3"),
            ("total_cents", "18000"),
            ("fulfillment_status", "pending"),
        ],
    );
    traveller.step("order.cancelled", &format!("/orders/{order}/cancel"), user).await;
    let row = traveller.row("orders", "order_id", &order).await;
    assert_columns(&row, &[("status", "cancelled"), ("version", "2")]);
}

/// An order that goes all the way, and comes back.
async fn deliveries(traveller: &mut Traveller, user: &str, product: &str) {
    let body = sample::order(product, None, 2);
    let order = id(&traveller.create("order.created", "/orders", user, body).await);
    let parcel = json!({ "tracking_number": "TRK-1", "carrier": "Post" });
    let items = format!("SELECT * FROM order_items WHERE order_id = '{order}'");
    for (event, step, body, status) in [
        ("order.confirmed", "confirm", Value::Null, "confirmed"),
        ("order.processing", "process", Value::Null, "processing"),
        ("order.shipped", "ship", parcel, "shipped"),
        ("order.delivered", "deliver", Value::Null, "delivered"),
        ("order.refunded", "refund", Value::Null, "refunded"),
    ] {
        let path = format!("/orders/{order}/{step}");
        traveller.call(event, 200, Method::POST, &path, user, body).await;
        let row = traveller.row("orders", "order_id", &order).await;
        assert_columns(&row, &[("status", status)]);
        let item = traveller.rows.one(&items, |_| true).await;
        assert_eq!(
            item.contains_key("tracking_number"),
            item.contains_key("shipped_at"),
            "{item:?}"
        );
        assert_eq!(item["fulfillment_status"] == "refunded", status == "refunded", "{item:?}");
    }
    let item = traveller.rows.one(&items, |_| true).await;
    assert_columns(
        &item,
        &[("tracking_number", "TRK-1"), ("carrier", "Post"), ("shipped_quantity", "2")],
    );
    assert!(item.contains_key("delivered_at"), "{item:?}");
}

async fn posts(traveller: &mut Traveller, user: &str) {
    let mut draft = sample::post("First light");
    draft["is_draft"] = json!(true);
    let post = id(&traveller.create("post.created", "/posts", user, draft).await);
    let row = traveller.row("posts", "post_id", &post).await;
    assert_columns(
        &row,
        &[("author_user_id", user), ("text_content", "First light"), ("link_title", "Example")],
    );
    assert!(!row.contains_key("published_at"), "a draft: {row:?}");

    let path = format!("/posts/{post}");
    traveller.step("post.published", &format!("{path}/publish"), user).await;
    assert!(traveller.row("posts", "post_id", &post).await.contains_key("published_at"));
    let change = json!({ "text_content": "Second light", "media": [], "link_preview": null });
    traveller.patch("post.updated", &path, user, change).await;
    let row = traveller.row("posts", "post_id", &post).await;
    assert_columns(&row, &[("text_content", "Second light")]);
    assert!(!row.contains_key("media_json") && !row.contains_key("link_url"), "emptied: {row:?}");
    traveller.delete("post.deleted", &path, user).await;
    let row = traveller.row("posts", "post_id", &post).await;
    assert!(row.contains_key("deleted_at"), "the row stays: {row:?}");
    assert_columns(&row, &[("text_content", "Second light")]);
}

async fn deletions(traveller: &mut Traveller, user: &str, supplier: &str, product: &str) {
    traveller.delete("product.deleted", &format!("/products/{product}"), supplier).await;
    traveller.gone("products", "product_id", product).await;
    traveller.gone("product_variants", "product_id", product).await;

    // Its second product goes with the supplier, by an event of its own.
    let other = traveller.create("product.created", "/products", supplier, sample::product()).await;
    traveller.row("products", "product_id", &id(&other)).await;
    traveller.delete("supplier.deleted", &format!("/suppliers/{supplier}"), "").await;
    traveller.gone("products", "product_id", &id(&other)).await;
    traveller.gone("suppliers", "supplier_id", supplier).await;

    traveller.delete("user.deleted", &format!("/users/{user}"), "").await;
    assert!(traveller.row("users", "user_id", user).await.contains_key("deleted_at"));
}

//! An order's way to the buyer's door, and back.

use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::documents;
use crate::fixtures::shipping_address;
use crate::harness::Api;

/// An order of three items: the first two from one supplier, the third from another.
struct Placed {
    api: Api,
    user: Value,
    one: Value,
    other: Value,
    order: Value,
}

const PARCEL: [&str; 2] = ["1Z999", "UPS"];

impl Placed {
    async fn order() -> Self {
        let api = Api::start().await;
        let user = api.user().await;
        let (one, other) = (api.supplier().await, api.supplier().await);
        let (first, second) = (api.active_product(&one).await, api.active_product(&other).await);
        let line = |product: &Value| json!({ "product_id": product["id"], "quantity": 3 });
        let body = json!({ "items": [line(&first), line(&first), line(&second)],
                           "shipping_address": shipping_address() });
        let order = api.post("/orders").user(&user).json(&body).await.is(201).json();
        Self { api, user, one, other, order }
    }

    fn path(&self, action: &str) -> String {
        format!("/orders/{}/{action}", id(&self.order))
    }

    fn step(&self, action: &str) -> Call {
        self.api.post(self.path(action))
    }

    fn parcel(&self, items: Option<&[&str]>) -> Call {
        let [tracking_number, carrier] = PARCEL;
        let body =
            json!({ "tracking_number": tracking_number, "carrier": carrier, "item_ids": items });
        self.step("ship").json(&body)
    }

    /// Takes a step that must be allowed: the order moves to `status`, with an event.
    async fn takes(&self, call: Call, event_type: &str, status: &str) -> Value {
        let answer = call.await;
        let order = answer.is(200).json();
        documents::order().check(&order);
        assert_eq!(order["status"], status, "{}", answer.what);
        self.api.database.event_of(&answer).await.carries(event_type, &order);
        let read = self.api.get(format!("/orders/{}", id(&order))).user(&self.user).await;
        assert_eq!(read.is(200).json(), order);
        order
    }

    async fn is_at(&self, status: &str) {
        self.api.database.set("orders", id(&self.order), "status", status).await;
    }
}

fn fulfilment(order: &Value) -> Vec<&str> {
    let items = order["items"].as_array().unwrap().iter();
    items.map(|item| item["fulfillment_status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_order_goes_all_the_way_and_is_refunded() {
    let placed = Placed::order().await;
    let (user, one) = (&placed.user, &placed.one);
    let order =
        placed.takes(placed.step("confirm").user(user), "order.confirmed", "confirmed").await;
    assert_eq!(fulfilment(&order), ["pending"; 3]);
    let order =
        placed.takes(placed.step("process").supplier(one), "order.processing", "processing").await;
    assert_eq!(fulfilment(&order), ["processing"; 3]);

    let order = placed
        .takes(placed.parcel(Some(&["item_2"])).user(user), "order.shipped", "processing")
        .await;
    assert_eq!(fulfilment(&order), ["processing", "shipped", "processing"]);
    let (sent, waiting) = (&order["items"][1], &order["items"][0]);
    assert_eq!([&sent["tracking_number"], &sent["carrier"]], PARCEL);
    assert_eq!(sent["shipped_quantity"], 3);
    assert_eq!(sent["shipped_at"], order["updated_at"]);
    assert_eq!(waiting["shipped_quantity"], 0);
    assert!(waiting["tracking_number"].is_null() && waiting["shipped_at"].is_null());

    let order = placed.takes(placed.parcel(None).user(user), "order.shipped", "shipped").await;
    assert_eq!(fulfilment(&order), ["shipped"; 3]);
    assert_eq!(&order["items"][1], sent, "what was sent before stays as it was");
    let arrived = json!({ "item_ids": ["item_1"] });
    let order = placed
        .takes(placed.step("deliver").user(user).json(&arrived), "order.delivered", "shipped")
        .await;
    assert_eq!(fulfilment(&order), ["delivered", "shipped", "shipped"]);
    let order =
        placed.takes(placed.step("deliver").user(user), "order.delivered", "delivered").await;
    assert_eq!(fulfilment(&order), ["delivered"; 3]);
    assert_eq!(order["items"][2]["delivered_at"], order["updated_at"]);
    let order = placed.takes(placed.step("refund").user(user), "order.refunded", "refunded").await;
    assert_eq!(fulfilment(&order), ["refunded"; 3]);
    assert_eq!(order["version"], 8);
}

/// Suppliers send what is theirs; the order is shipped once all have.
#[tokio::test]
async fn each_supplier_ships_its_own() {
    let placed = Placed::order().await;
    let Placed { api, one, other, .. } = &placed;
    placed.is_at("processing").await;
    let foreign = placed.parcel(Some(&["item_1", "item_3"])).supplier(other);
    api.refuses(foreign, 403, "FORBIDDEN").await;
    let order =
        placed.takes(placed.parcel(None).supplier(one), "order.shipped", "processing").await;
    assert_eq!(fulfilment(&order), ["shipped", "shipped", "pending"]);
    api.refuses(placed.parcel(None).supplier(one), 409, "STATE_CONFLICT").await;
    api.refuses(placed.parcel(Some(&["item_1"])).supplier(one), 409, "STATE_CONFLICT").await;
    placed.takes(placed.parcel(None).supplier(other), "order.shipped", "shipped").await;
}

/// Every state with every action that it does not allow, and who may not ask at all.
#[tokio::test]
async fn what_does_not_fit_is_refused() {
    const ACTIONS: [&str; 5] = ["confirm", "process", "ship", "deliver", "refund"];
    let placed = Placed::order().await;
    let api = &placed.api;
    let call = |action: &str| {
        if action == "ship" { placed.parcel(None) } else { placed.step(action) }
    };
    for (status, allowed) in [
        ("pending", "confirm"),
        ("confirmed", "process"),
        ("processing", "ship"),
        ("shipped", "deliver"),
        ("delivered", "refund"),
        ("cancelled", ""),
        ("refunded", ""),
        ("failed", ""),
    ] {
        placed.is_at(status).await;
        for action in ACTIONS.into_iter().filter(|action| *action != allowed) {
            api.refuses(call(action).user(&placed.user), 409, "STATE_CONFLICT").await;
        }
    }
    let (stranger, unknown) = (api.user().await, json!({ "id": "0".repeat(24) }));
    let seller = api.supplier().await;
    let gone = api.user().await;
    api.delete(format!("/users/{}", id(&gone))).await.is(204);
    for action in ACTIONS {
        api.refuses(call(action), 401, "AUTHENTICATION_FAILED").await;
        api.refuses(call(action).user(&stranger), 404, "RESOURCE_NOT_FOUND").await;
        api.refuses(call(action).supplier(&seller), 404, "RESOURCE_NOT_FOUND").await;
        api.refuses(call(action).supplier(&unknown), 404, "RESOURCE_NOT_FOUND").await;
        api.refuses(call(action).user(&gone), 403, "ACCOUNT_STATUS_ERROR").await;
    }
}

#[tokio::test]
async fn parcels_have_rules() {
    let placed = Placed::order().await;
    placed.is_at("processing").await;
    let sound = json!({ "tracking_number": "1", "carrier": "C", "item_ids": ["item_1"] });
    for (field, value) in [
        ("tracking_number", json!("")),
        ("tracking_number", json!("é".repeat(101))),
        ("tracking_number", Value::Null),
        ("carrier", json!("")),
        ("carrier", json!("é".repeat(101))),
        ("carrier", json!(5)),
        ("item_ids", json!([])),
        ("item_ids", json!(vec!["item_1"; 21])),
        ("item_ids", json!(["item_9"])),
        ("item_ids", json!("item_1")),
    ] {
        let mut body = sound.clone();
        body[field] = value;
        let call = placed.step("ship").user(&placed.user).json(&body);
        let details = placed.api.refuses(call, 422, "VALIDATION_ERROR").await;
        assert!(details[field].is_string(), "{field}: {details}");
    }
    let mut body = sound;
    body["tracking_number"] = json!("é".repeat(100));
    body["carrier"] = json!("é".repeat(100));
    placed.step("ship").user(&placed.user).json(&body).await.is(200);
}

/// Nothing of a cancelled order is still to be sent.
#[tokio::test]
async fn cancelling_takes_the_items_along() {
    let placed = Placed::order().await;
    let order = placed
        .takes(placed.step("cancel").user(&placed.user), "order.cancelled", "cancelled")
        .await;
    assert_eq!(fulfilment(&order), ["cancelled"; 3]);
}

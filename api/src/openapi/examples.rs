//! One example for each schema that is sent or answered. Those of requests are sent to
//! the API by a test, those of answers are checked against their schema.

use serde_json::{Value, json};

const ID: &str = "65a1b2c3d4e5f60718293a4b";
const SUPPLIER_ID: &str = "65a1b2c3d4e5f60718293a4c";
const PRODUCT_ID: &str = "65a1b2c3d4e5f60718293a4d";
const MOMENT: &str = "2026-01-02T03:04:05.678Z";

/// Puts the examples into their schemas.
pub fn add(schemas: &mut Value) {
    for (name, example) in requests().into_iter().chain(answers()) {
        if let Some(schema) = schemas.get_mut(name) {
            schema["examples"] = json!([example]);
        }
    }
}

fn requests() -> Vec<(&'static str, Value)> {
    vec![
        (
            "CreateUser",
            json!({ "email": "ada@example.com", "password": "a long secret",
                    "display_name": "Ada Lovelace", "phone": "+44 20 7946 0000", "bio": "Counts." }),
        ),
        ("Login", json!({ "email": "ada@example.com", "password": "a long secret" })),
        ("UpdateUser", json!({ "display_name": "Ada", "bio": null })),
        (
            "CreateSupplier",
            json!({
                "password": "a long secret",
                "contact_info": { "primary_email": "shop@example.com", "primary_phone": "+1 555 0100" },
                "company_info": { "legal_name": "Turing Tools Ltd", "business_address": address() },
                "banking_info": { "bank_name": "First Bank", "account_number_last4": "1234" },
            }),
        ),
        ("UpdateSupplier", json!({ "dba_name": "TT", "support_email": "help@example.com" })),
        (
            "CreateProduct",
            json!({ "name": "Kettle", "category": "home_garden", "base_sku": "KET-1",
                    "base_price_cents": 2500, "variants": { "red": variant() } }),
        ),
        ("UpdateProduct", json!({ "base_price_cents": 2300, "brand": "Turing" })),
        (
            "CreateOrder",
            json!({
                "items": [{ "product_id": PRODUCT_ID, "variant_name": "red", "quantity": 2 }],
                "shipping_address": recipient(),
            }),
        ),
        ("CancelOrder", json!({ "reason": "Ordered twice" })),
        (
            "ShipOrder",
            json!({ "item_ids": ["item_1"], "tracking_number": "1Z999", "carrier": "UPS" }),
        ),
        ("DeliverOrder", json!({ "item_ids": ["item_1"] })),
        (
            "CreatePost",
            json!({ "post_type": "image", "text_content": "Look at this kettle",
                    "media": [{ "media_type": "image", "media_url": "https://cdn.example.com/k.jpg" }] }),
        ),
        ("UpdatePost", json!({ "text_content": "Look at this kettle again" })),
    ]
}

fn answers() -> Vec<(&'static str, Value)> {
    let answers = [
        (
            "User",
            json!({
                "contact_info": { "primary_email": "ada@example.com", "additional_emails": [],
                                  "phone": "+44 20 7946 0000" },
                "profile": { "display_name": "Ada Lovelace", "bio": "Counts.", "date_of_birth": null,
                             "avatar": "https://cdn.example.com/avatars/default.jpg" },
                "deleted_at": null,
            }),
        ),
        ("Supplier", supplier()),
        ("Product", product()),
        ("Order", order()),
        (
            "Post",
            json!({
                "post_type": "text", "text_content": "Look at this kettle", "media": [],
                "author": { "user_id": ID, "display_name": "Ada Lovelace", "author_type": "user",
                            "avatar": "https://cdn.example.com/avatars/default.jpg" },
                "link_preview": null,
                "stats": { "view_count": 0, "like_count": 0, "comment_count": 0, "share_count": 0,
                           "save_count": 0, "engagement_rate": 0.0, "last_comment_at": null },
                "deleted_at": null, "published_at": MOMENT,
            }),
        ),
    ];
    let with_common_fields = |(name, mut document): (&'static str, Value)| {
        document["id"] = json!(ID);
        document["version"] = json!(1);
        document["created_at"] = json!(MOMENT);
        document["updated_at"] = json!(MOMENT);
        (name, document)
    };
    let status = [
        (
            "Service",
            json!({ "service": "social-commerce-api", "version": env!("CARGO_PKG_VERSION"),
                    "status": "healthy" }),
        ),
        (
            "LoggedIn",
            json!({ "access_token": "eyJ0eXAi.eyJzdWIi.c2lnbmVk", "token_type": "Bearer",
                    "expires_in": 3600, "account_type": "user", "account_id": ID }),
        ),
        (
            "Timeline",
            json!({
                "event_id": "0199a2b3-c4d5-7e6f-8a9b-0c1d2e3f4a5b", "event_type": "order.created",
                "entity_id": ID, "version": 1, "state": "applied",
                "committed": { "occurred_at": MOMENT },
                "published": { "topic": "order", "partition": 4, "before_offset": 1207,
                               "through": "2026-01-02T03:04:05.000Z" },
                "applied": { "through": "2026-01-02T03:04:05.000Z" },
                "refused": null, "doubt": null, "as_of": "2026-01-02T03:04:05.731Z",
            }),
        ),
        (
            "Health",
            json!({ "status": "healthy", "dependencies": { "mongodb": { "state": "up" } } }),
        ),
        ("Pipeline", pipeline()),
    ];
    answers.map(with_common_fields).into_iter().chain(status).collect()
}

fn pipeline() -> Value {
    let topic = |topic, end, applied, to_go| json!({ "topic": topic, "end": end, "applied": applied, "to_go": to_go });
    json!({
        "at": MOMENT, "state": "flowing", "held_up_at": null, "mongodb": "ok",
        "documents": { "users": 100, "suppliers": 28, "products": 72, "orders": 150, "posts": 150 },
        "documents_capped": [],
        "outbox": { "records": 759, "records_are_capped": false, "waiting": 2, "waiting_is_capped": false,
                    "events_per_second": 14.2, "last_event_at": MOMENT, "dead": 0 },
        "relay": { "state": "ok", "reported_at": MOMENT, "lag_seconds": 0.3, "obstacle": null,
                   "shards": [{ "shard": "0/1", "reported_at": MOMENT, "proven_at": MOMENT }] },
        "topics": [topic("user", 153, 153, 0), topic("supplier", 52, 52, 0),
                   topic("product", 227, 227, 0), topic("order", 180, 171, 9),
                   topic("post", 203, 203, 0)],
        "projector": { "state": "ok", "lag_seconds": 0.4, "own_lag_seconds": 0.1, "instances": 1 },
        "dead_letters": 0, "dead_letters_are_capped": false, "rewound": null, "lost": [],
    })
}

fn supplier() -> Value {
    json!({
        "contact_info": {
            "primary_email": "shop@example.com", "additional_emails": [],
            "primary_phone": "+1 555 0100", "contact_person_name": null,
            "contact_person_title": null, "contact_person_email": null,
            "contact_person_phone": null },
        "company_info": { "legal_name": "Turing Tools Ltd", "dba_name": null,
                          "business_address": address(), "shipping_address": null },
        "business_info": { "facebook_url": null, "instagram_handle": null, "twitter_handle": null,
                           "linkedin_url": null, "timezone": null, "support_email": null,
                           "support_phone": null },
        "product_ids": [PRODUCT_ID], "banking_info": null,
    })
}

fn product() -> Value {
    json!({
        "supplier_id": SUPPLIER_ID, "supplier_info": { "name": "Turing Tools Ltd" },
        "name": "Kettle", "short_description": null, "topic_descriptions": [],
        "category": "home_garden", "unit_type": "piece",
        "metadata": { "base_sku": "KET-1", "brand": null }, "stock_locations": [],
        "variants": { "red": variant() }, "base_price_cents": 2500,
        "stats": { "view_count": 0, "favorite_count": 0, "purchase_count": 0, "total_reviews": 0 },
        "status": "draft", "published_at": null,
    })
}

fn variant() -> Value {
    json!({ "variant_id": "V-1", "variant_name": "Red kettle", "price_cents": 2700,
            "cost_cents": 900, "quantity": 3, "image_url": "https://cdn.example.com/red.jpg",
            "attributes": [{ "attribute_name": "colour", "attribute_value": "red" }],
            "package_dimensions": { "width_cm": 20.5, "height_cm": 30.0, "depth_cm": 18.0 } })
}

fn order() -> Value {
    let item = json!({
        "item_id": "item_1", "quantity": 2, "unit_price_cents": 2700, "final_price_cents": 2700,
        "total_cents": 5400, "fulfillment_status": "pending", "shipped_quantity": 0,
        "tracking_number": null, "carrier": null, "shipped_at": null, "delivered_at": null,
        "product_snapshot": {
            "product_id": PRODUCT_ID, "supplier_id": SUPPLIER_ID, "product_name": "Kettle",
            "variant_name": "red", "variant_attributes": { "colour": "red" },
            "image_url": "https://cdn.example.com/red.jpg", "supplier_name": "Turing Tools Ltd" },
    });
    json!({
        "order_number": "ORD-20260102-X7K2", "status": "pending", "items": [item],
        "customer": { "user_id": ID, "display_name": "Ada Lovelace", "email": "ada@example.com",
                      "phone": null },
        "shipping_address": recipient(),
    })
}

fn address() -> Value {
    json!({ "street_address_1": "1 Mill Road", "street_address_2": null, "city": "Cambridge",
            "state": "Cambs", "zip_code": "CB1 2AB", "country": "GB" })
}

fn recipient() -> Value {
    let mut recipient = address();
    recipient["recipient_name"] = json!("Ada Lovelace");
    recipient["phone"] = json!(null);
    recipient
}

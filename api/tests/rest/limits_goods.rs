//! The limits of products, and how broken ones are named.

use serde_json::{Value, json};

use crate::call::id;
use crate::edges::{Field, any_text, country, int, list, measure, probe, text, word};
use crate::fixtures::{new_product, variant};
use crate::harness::Api;
use crate::limits::holds;

const CATEGORIES: [&str; 11] = [
    "electronics",
    "fashion",
    "beauty",
    "home_garden",
    "sports_outdoors",
    "food_beverage",
    "health_wellness",
    "toys_games",
    "books_media",
    "automotive",
    "other",
];
const UNITS: [&str; 12] = [
    "piece", "pair", "set", "box", "pack", "bundle", "kg", "gram", "liter", "ml", "meter", "other",
];

/// Where the fields lie that PATCH shares with POST.
fn product_parts() -> Vec<Field> {
    let topic = json!({ "topic": "t", "description": "d" });
    vec![
        list("/topic_descriptions", 0, None, &topic)
            .refuses(json!([{ "topic": "t" }]))
            .with_default(),
        text("/topic_descriptions/0/topic", 1, 100),
        text("/topic_descriptions/0/description", 1, 5000),
        text("/stock_locations/0/location_name", 1, 200),
        text("/stock_locations/0/street_address", 0, 200).optional(),
        text("/stock_locations/0/city", 1, 100),
        text("/stock_locations/0/state", 0, 100).optional(),
        text("/stock_locations/0/zip_code", 1, 20),
        country("/stock_locations/0/country"),
        int("/stock_locations/0/quantity", 0, None).with_default(),
        text("/variants/red/variant_id", 1, 50),
        text("/variants/red/variant_name", 1, 200),
        text("/variants/red/attributes/0/attribute_name", 1, 50),
        text("/variants/red/attributes/0/attribute_value", 1, 100),
        int("/variants/red/price_cents", 0, None),
        int("/variants/red/cost_cents", 0, None).optional(),
        int("/variants/red/quantity", 0, None).with_default(),
        measure("/variants/red/package_dimensions/width_cm"),
        measure("/variants/red/package_dimensions/height_cm"),
        measure("/variants/red/package_dimensions/depth_cm"),
        any_text("/variants/red/image_url").optional(),
    ]
}

#[tokio::test]
async fn products() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let mut create = vec![
        text("/name", 1, 200),
        text("/short_description", 0, 500).optional(),
        word("/category", &CATEGORIES),
        word("/unit_type", &UNITS).with_default(),
        text("/base_sku", 1, 100),
        text("/brand", 0, 100).optional(),
        int("/base_price_cents", 0, None),
    ];
    for field in product_parts() {
        create.push(field);
    }
    let send = |body: &Value| api.post("/products").supplier(&supplier).json(body);
    let created = probe(&create, new_product, send, 201).await;
    holds(&api, "products", created, 1 + created).await;

    let product = api.database.all("products").await[0].get_object_id("_id").unwrap();
    let mut update = vec![
        text("/name", 1, 200).optional(),
        text("/short_description", 0, 500).optional(),
        word("/category", &CATEGORIES[..2]).optional(),
        word("/unit_type", &UNITS[..2]).optional(),
        text("/base_sku", 1, 100).optional(),
        text("/brand", 0, 100).optional(),
        int("/base_price_cents", 0, None).optional(),
    ];
    update.extend(product_parts());
    let path = format!("/products/{product}");
    let change = |body: &Value| api.patch(&path).supplier(&supplier).json(body);
    let changed = probe(&update, new_product, change, 200).await;
    holds(&api, "products", created, 1 + created + changed).await;
}

/// One answer names every broken rule, each by its path.
#[tokio::test]
async fn all_broken_rules_are_named_at_once() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let mut body = new_product();
    body["name"] = json!("");
    body["base_price_cents"] = json!(-1);
    body["stock_locations"][0]["country"] = json!("GBR");
    body["variants"]["odd"] = variant("Odd", -1);
    body["variants"]["red"]["package_dimensions"]["width_cm"] = json!(0);
    let call = api.post("/products").supplier(&supplier).json(&body);
    let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
    assert_eq!(
        crate::call::keys(&details),
        [
            "base_price_cents",
            "name",
            "stock_locations[0].country",
            "variants.odd.price_cents",
            "variants.red.package_dimensions.width_cm",
        ]
    );
}

/// Names of variants become field names in MongoDB, where some characters mean something.
#[tokio::test]
async fn variants_may_be_called_anything_that_can_be_stored() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    for name in ["a.b", "$price", " ", "ü/ñ", "_id", "$set", "a\"b\\c"] {
        let mut body = new_product();
        body["variants"] = json!({ name: variant("V", 5) });
        let product = api.post("/products").supplier(&supplier).json(&body).await.is(201).json();
        assert_eq!(product["variants"], body["variants"], "{name:?}");
        let path = format!("/products/{}", id(&product));
        let changed = api.patch(&path).supplier(&supplier).json(&body).await.is(200).json();
        assert_eq!(changed["variants"], body["variants"], "{name:?}");
        assert_eq!(api.get(&path).await.is(200).json(), changed);
    }
    let mut body = new_product();
    body["variants"] = json!({ "a\0b": variant("V", 5) });
    let call = api.post("/products").supplier(&supplier).json(&body);
    api.refuses(call, 422, "VALIDATION_ERROR").await;
}

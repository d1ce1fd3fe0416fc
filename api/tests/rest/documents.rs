//! The shapes of the contract's documents, and how stored and answered forms compare.
//!
//! A shape is an example with the kind of each value for the value: `id`, `time`,
//! `text`, `int`, `number`, or the allowed words as in `draft|active`; `?` allows
//! null, `[shape]` is a list, `{"*": shape}` a map.

use mongodb::bson::{self, Bson};
use serde_json::{Value, json};

/// What is to know of one of the five domains.
pub struct Domain {
    pub collection: &'static str,
    pub topic: &'static str,
    pub shape: Value,
}

pub fn user() -> Domain {
    let shape = json!({
        "contact_info": { "primary_email": "text", "additional_emails": ["text"], "phone": "text?" },
        "profile": { "display_name": "text", "avatar": "text", "bio": "text?",
                     "date_of_birth": "time?" },
        "deleted_at": "time?",
    });
    domain("users", "user", shape)
}

pub fn supplier() -> Domain {
    let address = json!({ "street_address_1": "text", "street_address_2": "text?", "city": "text",
                          "state": "text", "zip_code": "text", "country": "text" });
    let mut optional_address = address.clone();
    optional_address["?"] = Value::Null;
    let shape = json!({
        "contact_info": {
            "primary_email": "text", "additional_emails": ["text"], "primary_phone": "text",
            "contact_person_name": "text?", "contact_person_title": "text?",
            "contact_person_email": "text?", "contact_person_phone": "text?" },
        "company_info": { "legal_name": "text", "dba_name": "text?",
                          "business_address": address, "shipping_address": optional_address },
        "business_info": {
            "facebook_url": "text?", "instagram_handle": "text?", "twitter_handle": "text?",
            "linkedin_url": "text?", "timezone": "text?", "support_email": "text?",
            "support_phone": "text?" },
        "banking_info": { "?": null, "bank_name": "text?", "account_holder_name": "text?",
                          "account_number_last4": "text?" },
        "product_ids": ["id"],
    });
    domain("suppliers", "supplier", shape)
}

pub fn product() -> Domain {
    let shape = json!({
        "supplier_id": "id", "supplier_info": { "name": "text" }, "name": "text",
        "short_description": "text?",
        "topic_descriptions": [{ "topic": "text", "description": "text", "display_order": "int" }],
        "category": "electronics|fashion|beauty|home_garden|sports_outdoors|food_beverage|\
                     health_wellness|toys_games|books_media|automotive|other",
        "unit_type": "piece|pair|set|box|pack|bundle|kg|gram|liter|ml|meter|other",
        "metadata": { "base_sku": "text", "brand": "text?" },
        "stock_locations": [{ "location_name": "text", "street_address": "text?", "city": "text",
                              "state": "text?", "zip_code": "text", "country": "text",
                              "quantity": "int" }],
        "variants": { "*": {
            "variant_id": "text", "variant_name": "text",
            "attributes": [{ "attribute_name": "text", "attribute_value": "text" }],
            "price_cents": "int", "cost_cents": "int?", "quantity": "int",
            "package_dimensions": { "width_cm": "number", "height_cm": "number",
                                    "depth_cm": "number" },
            "image_url": "text?" } },
        "base_price_cents": "int",
        "stats": { "view_count": "int", "favorite_count": "int", "purchase_count": "int",
                   "total_reviews": "int" },
        "status": "draft|active|out_of_stock|discontinued|deleted",
        "published_at": "time?",
    });
    domain("products", "product", shape)
}

pub fn order() -> Domain {
    let shape = json!({
        "order_number": "text",
        "customer": { "user_id": "id", "display_name": "text", "email": "text", "phone": "text?" },
        "items": [{
            "item_id": "text",
            "product_snapshot": {
                "product_id": "id", "supplier_id": "id", "product_name": "text",
                "variant_name": "text?", "variant_attributes": { "*": "text" },
                "image_url": "text", "supplier_name": "text" },
            "quantity": "int", "unit_price_cents": "int", "final_price_cents": "int",
            "total_cents": "int",
            "fulfillment_status": "pending|processing|shipped|delivered|cancelled|refunded",
            "shipped_quantity": "int", "tracking_number": "text?", "carrier": "text?",
            "shipped_at": "time?", "delivered_at": "time?" }],
        "shipping_address": { "recipient_name": "text", "phone": "text?",
            "street_address_1": "text", "street_address_2": "text?", "city": "text",
            "state": "text", "zip_code": "text", "country": "text" },
        "status": "pending|confirmed|processing|shipped|delivered|cancelled|refunded|failed",
    });
    domain("orders", "order", shape)
}

pub fn post() -> Domain {
    let shape = json!({
        "post_type": "text|image|video|link|poll",
        "author": { "user_id": "id", "display_name": "text", "avatar": "text",
                    "author_type": "user|leader" },
        "text_content": "text",
        "media": [{ "media_type": "image|video|gif", "media_url": "text", "thumbnail_url": "text?",
                    "width": "int?", "height": "int?", "duration_seconds": "int?",
                    "size_bytes": "int?" }],
        "link_preview": { "?": null, "url": "text", "title": "text", "description": "text?",
                          "image": "text?", "site_name": "text?" },
        "stats": { "view_count": "int", "like_count": "int", "comment_count": "int",
                   "share_count": "int", "save_count": "int", "engagement_rate": "number",
                   "last_comment_at": "time?" },
        "deleted_at": "time?", "published_at": "time?",
    });
    domain("posts", "post", shape)
}

fn domain(collection: &'static str, topic: &'static str, mut shape: Value) -> Domain {
    let common =
        json!({ "id": "id", "version": "int", "created_at": "time", "updated_at": "time" });
    shape.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
    Domain { collection, topic, shape }
}

impl Domain {
    /// Asserts that an answer has every key of the shape, no other, and values of its kinds.
    #[track_caller]
    pub fn check(&self, document: &Value) {
        let mut problems = Vec::new();
        examine(&self.shape, document, self.topic, &mut problems);
        assert!(problems.is_empty(), "{problems:#?} in {document:#}");
    }

    /// The stored document as it must be answered: ids from ObjectIds, times from dates,
    /// and without the secrets.
    pub fn answered(&self, mut stored: bson::Document) -> Value {
        let id = stored.remove("_id").expect("stored under _id");
        stored.insert("id", id);
        stored.remove("password_hash");
        stored.remove("banking_info");
        plain(&self.shape, &Bson::Document(stored))
    }
}

fn examine(shape: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    match shape {
        Value::Object(fields) if fields.contains_key("?") && value.is_null() => {}
        Value::Object(fields) => match value.as_object() {
            None => problems.push(format!("{path}: no object: {value}")),
            Some(found) => {
                if let Some(each) = fields.get("*") {
                    found.iter().for_each(|(key, value)| {
                        examine(each, value, &format!("{path}.{key}"), problems);
                    });
                    return;
                }
                for (key, shape) in fields.iter().filter(|(key, _)| *key != "?") {
                    match found.get(key) {
                        None => problems.push(format!("{path}.{key} is missing")),
                        Some(value) => examine(shape, value, &format!("{path}.{key}"), problems),
                    }
                }
                for key in found.keys().filter(|key| !fields.contains_key(*key)) {
                    problems.push(format!("{path}.{key} is not in the contract"));
                }
            }
        },
        Value::Array(item) => match value.as_array() {
            None => problems.push(format!("{path}: no list: {value}")),
            Some(found) => found.iter().for_each(|value| {
                examine(&item[0], value, &format!("{path}[]"), problems);
            }),
        },
        Value::String(kind) if is_of_kind(kind, value) => {}
        kind => problems.push(format!("{path}: {value} is no {kind}")),
    }
}

fn is_of_kind(kind: &str, value: &Value) -> bool {
    if let Some(kind) = kind.strip_suffix('?') {
        return value.is_null() || is_of_kind(kind, value);
    }
    match kind {
        "id" => value.as_str().is_some_and(|text| {
            text.len() == 24 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        }),
        "time" => value.as_str().is_some_and(|text| {
            text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok()
        }),
        "text" => value.is_string(),
        "int" => value.is_i64(),
        "number" => value.is_number(),
        words => value.as_str().is_some_and(|text| words.split('|').any(|word| word == text)),
    }
}

/// The BSON value as JSON. What has the wrong BSON type comes out as something that
/// equals no answer.
fn plain(shape: &Value, value: &Bson) -> Value {
    match (shape, value) {
        (_, Bson::Null) => Value::Null,
        (Value::Object(fields), Bson::Document(document)) => document
            .iter()
            .map(|(key, value)| {
                let shape = fields.get("*").or_else(|| fields.get(key)).unwrap_or(&Value::Null);
                (key.clone(), plain(shape, value))
            })
            .collect(),
        (Value::Array(item), Bson::Array(values)) => {
            values.iter().map(|value| plain(&item[0], value)).collect()
        }
        (Value::String(kind), Bson::ObjectId(id)) if kind == "id" => json!(id.to_hex()),
        (Value::String(kind), Bson::DateTime(date)) if kind.starts_with("time") => {
            json!(shared::Timestamp::from_millis(date.timestamp_millis()).unwrap())
        }
        (Value::String(kind), _) if kind == "id" || kind.starts_with("time") => {
            json!(format!("stored as {:?}", value.element_type()))
        }
        (_, Bson::Int32(number)) => json!(number),
        (_, Bson::Int64(number)) => json!(number),
        (_, Bson::Double(number)) => json!(number),
        (_, Bson::String(text)) => json!(text),
        (_, other) => json!(format!("stored as {:?}", other.element_type())),
    }
}

//! Requests as clients of the contract send them, and the documents they make.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::call::id;
use crate::harness::Api;

pub const PASSWORD: &str = "a password of mine";

/// An address that no other fixture of this process has.
pub fn email() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("somebody{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn new_user() -> Value {
    json!({ "email": email(), "password": PASSWORD, "display_name": "Ada Lovelace",
            "phone": "+44 20 7946 0000", "bio": "Counts." })
}

pub fn new_supplier() -> Value {
    json!({
        "password": PASSWORD,
        "contact_info": { "primary_email": email(), "additional_emails": ["sales@example.com"],
            "primary_phone": "+1 555 0100", "contact_person_name": "Joan Clarke",
            "contact_person_title": "Sales", "contact_person_email": "joan@example.com",
            "contact_person_phone": "+1 555 0101" },
        "company_info": { "legal_name": "Turing Tools Ltd", "dba_name": "TT",
            "business_address": address(), "shipping_address": address() },
        "business_info": { "facebook_url": "https://facebook.com/tt", "instagram_handle": "@tt",
            "twitter_handle": "@tt", "linkedin_url": "https://linkedin.com/tt",
            "timezone": "Europe/London", "support_email": "help@example.com",
            "support_phone": "+1 555 0102" },
        "banking_info": { "bank_name": "Secret Bank", "account_holder_name": "Turing",
            "account_number_last4": "last4-secret" },
    })
}

fn address() -> Value {
    json!({ "street_address_1": "1 Mill Road", "street_address_2": "Unit 2", "city": "Cambridge",
            "state": "Cambs", "zip_code": "CB1 2AB", "country": "GB" })
}

pub fn new_product() -> Value {
    json!({
        "name": "Kettle", "short_description": "Boils.", "category": "home_garden",
        "unit_type": "box", "base_sku": "KET-1", "brand": "Turing", "base_price_cents": 2500,
        "topic_descriptions": [{ "topic": "Care", "description": "Wipe.", "display_order": 1 }],
        "stock_locations": [{ "location_name": "North", "street_address": "2 Mill Road",
            "city": "Leeds", "state": "Yorks", "zip_code": "LS1", "country": "GB", "quantity": 4 }],
        "variants": { "red": variant("Red kettle", 2700), "blue": variant("Blue kettle", 2600) },
    })
}

pub fn variant(name: &str, price_cents: i64) -> Value {
    json!({ "variant_id": "V-1", "variant_name": name, "price_cents": price_cents,
            "cost_cents": 900, "quantity": 3,
            "attributes": [{ "attribute_name": "colour", "attribute_value": name }],
            "package_dimensions": { "width_cm": 20.5, "height_cm": 30.0, "depth_cm": 0.1 },
            "image_url": format!("https://cdn.example.com/{price_cents}.jpg") })
}

pub fn new_order(product: &Value) -> Value {
    json!({ "items": [{ "product_id": id(product), "quantity": 2 }],
            "shipping_address": shipping_address() })
}

pub fn shipping_address() -> Value {
    json!({ "recipient_name": "Ada Lovelace", "phone": "+44 20", "street_address_1": "3 Square",
            "street_address_2": "Flat 4", "city": "London", "state": "London",
            "zip_code": "W1", "country": "GB" })
}

pub fn new_post() -> Value {
    json!({
        "post_type": "image", "text_content": "Look at this kettle",
        "media": [{ "media_type": "gif", "media_url": "https://cdn.example.com/k.gif",
            "thumbnail_url": "https://cdn.example.com/k.jpg", "width": 640, "height": 480,
            "duration_seconds": 3, "size_bytes": 90000 }],
        "link_preview": { "url": "https://example.com", "title": "Kettles",
            "description": "All of them", "image": "https://example.com/k.jpg",
            "site_name": "Example" },
    })
}

/// Documents that tests need but do not look at: made through the API, as everything.
impl Api {
    pub async fn user(&self) -> Value {
        self.post("/users").json(&new_user()).await.is(201).json()
    }

    pub async fn supplier(&self) -> Value {
        self.post("/suppliers").json(&new_supplier()).await.is(201).json()
    }

    pub async fn draft(&self, supplier: &Value) -> Value {
        self.post("/products").supplier(supplier).json(&new_product()).await.is(201).json()
    }

    pub async fn active_product(&self, supplier: &Value) -> Value {
        let draft = self.draft(supplier).await;
        self.act(supplier, &draft, "publish").await
    }

    /// One step in the life of a product.
    pub async fn act(&self, supplier: &Value, product: &Value, action: &str) -> Value {
        let path = format!("/products/{}/{action}", id(product));
        self.post(path).supplier(supplier).await.is(200).json()
    }

    pub async fn order(&self, user: &Value, product: &Value) -> Value {
        self.post("/orders").user(user).json(&new_order(product)).await.is(201).json()
    }

    pub async fn post_by(&self, user: &Value) -> Value {
        self.post("/posts").user(user).json(&new_post()).await.is(201).json()
    }

    pub async fn draft_post(&self, user: &Value) -> Value {
        let mut body = new_post();
        body["is_draft"] = json!(true);
        self.post("/posts").user(user).json(&body).await.is(201).json()
    }
}

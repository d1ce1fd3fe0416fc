use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A REST client that trusts nothing but the contract.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `X-Event-ID`, on every write.
    pub event_id: Option<String>,
    pub body: Value,
}

impl Client {
    pub fn new(url: String) -> Self {
        Self { http: reqwest::Client::new(), url }
    }

    /// Sends `body` as the user or supplier `caller`; null means no body.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        caller: &str,
        body: &Value,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !caller.is_empty() {
            request = request.header("X-User-ID", caller).header("X-Supplier-ID", caller);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str, caller: &str) -> Answer {
        self.expect(200, Method::GET, path, caller, &Value::Null).await
    }

    /// Creates something and returns the document.
    pub async fn create(&self, path: &str, caller: &str, body: &Value) -> Value {
        self.expect(201, Method::POST, path, caller, body).await.body
    }

    /// A product that can be ordered. Returns its id.
    pub async fn publish_product(&self, supplier: &str) -> String {
        let product = self.create("/products", supplier, &sample::product()).await;
        let id = product["id"].as_str().expect("an id");
        let publish = format!("/products/{id}/publish");
        self.expect(200, Method::POST, &publish, supplier, &Value::Null).await;
        id.to_owned()
    }

    /// # Panics
    /// Where the answer's status is another one.
    pub async fn expect(
        &self,
        status: u16,
        method: Method,
        path: &str,
        caller: &str,
        body: &Value,
    ) -> Answer {
        let answer = self.send(method.clone(), path, caller, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer
    }
}

async fn answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let event_id = response.headers().get("x-event-id").and_then(|id| id.to_str().ok());
    let event_id = event_id.map(str::to_owned);
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, event_id, body })
}

/// Request bodies as the contract describes them.
pub mod sample {
    use super::{Value, json};

    pub fn user(email: &str) -> Value {
        json!({ "email": email, "password": "correct horse", "display_name": "Ada Lovelace",
                "phone": "+49 30 1234", "bio": "Countess of computing" })
    }

    pub fn supplier(email: &str) -> Value {
        json!({
            "password": "battery staple",
            "contact_info": { "primary_email": email, "primary_phone": "+49 40 99",
                              "contact_person_name": "Grace", "contact_person_title": "Admiral" },
            "company_info": { "legal_name": "Harbour Goods GmbH", "dba_name": "Harbour",
                "business_address": { "street_address_1": "Kai 1", "city": "Hamburg",
                    "state": "HH", "zip_code": "20457", "country": "de" } },
            "business_info": { "support_email": "help@harbour.example", "timezone": "Europe/Berlin" },
            "banking_info": { "bank_name": "Hansebank", "account_number_last4": "4711" },
        })
    }

    pub fn product() -> Value {
        json!({
            "name": "Deck chair", "short_description": "Folds flat", "category": "home_garden",
            "base_sku": "DC-1", "brand": "Harbour", "base_price_cents": 4900,
            "topic_descriptions": [{ "topic": "Care", "description": "Wipe it." }],
            "stock_locations": [{ "location_name": "Kai 1", "city": "Hamburg",
                                  "zip_code": "20457", "country": "DE", "quantity": 7 }],
            "variants": { "red": variant("DC-1-R", "Red", 5100), "blue": variant("DC-1-B", "Blue", 5200) },
        })
    }

    pub fn variant(id: &str, name: &str, price_cents: i64) -> Value {
        json!({
            "variant_id": id, "variant_name": name, "price_cents": price_cents, "quantity": 3,
            "attributes": [{ "attribute_name": "colour", "attribute_value": name }],
            "package_dimensions": { "width_cm": 60.5, "height_cm": 90, "depth_cm": 12.25 },
            "image_url": "https://cdn.example.com/chair.jpg",
        })
    }

    pub fn order(product_id: &str, variant: Option<&str>, quantity: i64) -> Value {
        json!({
            "items": [{ "product_id": product_id, "variant_name": variant, "quantity": quantity }],
            "shipping_address": { "recipient_name": "Ada", "street_address_1": "St James's Sq 12",
                "city": "London", "state": "LDN", "zip_code": "SW1Y", "country": "gb" },
        })
    }

    pub fn post(text: &str) -> Value {
        json!({
            "post_type": "image", "text_content": text,
            "media": [{ "media_type": "image", "media_url": "https://cdn.example.com/1.jpg", "width": 640 }],
            "link_preview": { "url": "https://example.com", "title": "Example" },
        })
    }
}

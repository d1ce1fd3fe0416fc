use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order_life::{FulfillmentStatus, OrderStatus};
use super::rules;
use crate::event::Domain;
use crate::{Id, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    #[serde(alias = "_id")]
    pub id: Id,
    #[serde(default)]
    pub version: i64,
    /// `ORD-YYYYMMDD-XXXX`, unique.
    pub order_number: String,
    pub customer: Customer,
    pub items: Vec<OrderItem>,
    pub shipping_address: ShippingAddress,
    pub status: OrderStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The buyer as of the moment of the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Customer {
    pub user_id: Id,
    pub display_name: String,
    pub email: String,
    #[serde(default)]
    pub phone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderItem {
    /// `item_1`, `item_2`, … within the order.
    pub item_id: String,
    pub product_snapshot: ProductSnapshot,
    pub quantity: i64,
    pub unit_price_cents: i64,
    pub final_price_cents: i64,
    pub total_cents: i64,
    #[serde(default)]
    pub fulfillment_status: FulfillmentStatus,
    #[serde(default)]
    pub shipped_quantity: i64,
    #[serde(default)]
    pub tracking_number: Option<String>,
    #[serde(default)]
    pub carrier: Option<String>,
    #[serde(default)]
    pub shipped_at: Option<Timestamp>,
    #[serde(default)]
    pub delivered_at: Option<Timestamp>,
}

/// The product as of the moment of the order: later changes do not reach it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProductSnapshot {
    pub product_id: Id,
    pub supplier_id: Id,
    pub product_name: String,
    #[serde(default)]
    pub variant_name: Option<String>,
    #[serde(default)]
    pub variant_attributes: BTreeMap<String, String>,
    pub image_url: String,
    pub supplier_name: String,
}

impl ProductSnapshot {
    /// Stands where neither the variant nor the product has a picture.
    pub const DEFAULT_IMAGE: &str = "https://placeholder.com/default.jpg";
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct ShippingAddress {
    #[garde(length(chars, min = 1, max = 200))]
    pub recipient_name: String,
    #[serde(default)]
    #[garde(length(chars, max = 20))]
    pub phone: Option<String>,
    #[garde(length(chars, min = 1, max = 200))]
    pub street_address_1: String,
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    pub street_address_2: Option<String>,
    #[garde(length(chars, min = 1, max = 100))]
    pub city: String,
    #[garde(length(chars, min = 1, max = 100))]
    pub state: String,
    #[garde(length(chars, min = 1, max = 20))]
    pub zip_code: String,
    #[serde(deserialize_with = "rules::upper_case")]
    #[garde(length(chars, equal = 2))]
    pub country: String,
}

super::aggregate!(Order, Domain::Order, |_| false);

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::event::{Domain, EventType};
use crate::{Id, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub user_id: Id,
    pub display_name: String,
    pub email: String,
    #[serde(default)]
    pub phone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    #[default]
    Pending,
    Processing,
    Shipped,
    Delivered,
    Cancelled,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    Pending,
    Confirmed,
    Processing,
    Shipped,
    Delivered,
    Cancelled,
    Refunded,
    Failed,
}

/// What can happen to an order after it was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderAction {
    Confirm,
    Process,
    Ship,
    Deliver,
    Cancel,
    Refund,
}

impl OrderStatus {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Confirmed,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
        Self::Failed,
    ];

    /// The order's state machine: the state after `action`, or `None` where it
    /// does not allow the action. Only a delivered order can be refunded, only
    /// one that nobody has begun to pack can be cancelled.
    pub fn after(self, action: OrderAction) -> Option<Self> {
        use OrderAction as A;
        match (self, action) {
            (Self::Pending, A::Confirm) => Some(Self::Confirmed),
            (Self::Confirmed, A::Process) => Some(Self::Processing),
            (Self::Processing, A::Ship) => Some(Self::Shipped),
            (Self::Shipped, A::Deliver) => Some(Self::Delivered),
            (Self::Pending | Self::Confirmed, A::Cancel) => Some(Self::Cancelled),
            (Self::Delivered, A::Refund) => Some(Self::Refunded),
            _ => None,
        }
    }

    /// As it is written in JSON, in BSON and in MySQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Processing => "processing",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::Failed => "failed",
        }
    }
}

impl OrderAction {
    pub const ALL: [Self; 6] = [
        Self::Confirm,
        Self::Process,
        Self::Ship,
        Self::Deliver,
        Self::Cancel,
        Self::Refund,
    ];

    pub fn event_type(self) -> EventType {
        match self {
            Self::Confirm => EventType::OrderConfirmed,
            Self::Process => EventType::OrderProcessing,
            Self::Ship => EventType::OrderShipped,
            Self::Deliver => EventType::OrderDelivered,
            Self::Cancel => EventType::OrderCancelled,
            Self::Refund => EventType::OrderRefunded,
        }
    }
}

super::aggregate!(Order, Domain::Order, |_| false);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state × action pair; what is not listed is refused.
    #[test]
    fn the_state_machine_allows_exactly_the_contracts_transitions() {
        use OrderAction::*;
        use OrderStatus::*;
        let allowed = [
            (Pending, Confirm, Confirmed),
            (Confirmed, Process, Processing),
            (Processing, Ship, Shipped),
            (Shipped, Deliver, Delivered),
            (Pending, Cancel, Cancelled),
            (Confirmed, Cancel, Cancelled),
            (Delivered, Refund, Refunded),
        ];
        for state in OrderStatus::ALL {
            for action in OrderAction::ALL {
                let expected = allowed
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (state, action))
                    .map(|(_, _, to)| *to);
                assert_eq!(state.after(action), expected, "{state:?} by {action:?}");
            }
        }
    }

    #[test]
    fn status_text_is_what_serde_writes() {
        for status in OrderStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}

use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::Timestamp;
use shared::document::OrderItem;

/// Checked for its length; the order has no place for it.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct CancelOrder {
    #[garde(length(chars, min = 5, max = 500))]
    pub reason: Option<String>,
}

/// One parcel: the named items, or all that are left, under one tracking number.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct ShipOrder {
    #[garde(length(min = 1, max = 20))]
    pub item_ids: Option<Vec<String>>,
    #[garde(length(chars, min = 1, max = 100))]
    pub tracking_number: String,
    #[garde(length(chars, min = 1, max = 100))]
    pub carrier: String,
}

/// The named items arrived, or all that are on their way.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct DeliverOrder {
    #[garde(length(min = 1, max = 20))]
    pub item_ids: Option<Vec<String>>,
}

impl ShipOrder {
    /// Puts the item into the parcel.
    pub fn apply(&self, item: &mut OrderItem, now: Timestamp) {
        item.shipped_quantity = item.quantity;
        item.tracking_number = Some(self.tracking_number.clone());
        item.carrier = Some(self.carrier.clone());
        item.shipped_at = Some(now);
    }
}

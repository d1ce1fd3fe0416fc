//! What can happen to an order after it was placed: the state machines of the order
//! and of its items.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::{Order, OrderItem};
use crate::event::EventType;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
    pub const ALL: [Self; 6] =
        [Self::Confirm, Self::Process, Self::Ship, Self::Deliver, Self::Cancel, Self::Refund];

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

impl FulfillmentStatus {
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Processing,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
    ];

    /// The item's state machine: the state after `action` on its order, or `None`
    /// where the action leaves the item as it is. The Python system moved orders
    /// without their items, so items may lag behind their order.
    pub fn after(self, action: OrderAction) -> Option<Self> {
        use OrderAction as A;
        match (self, action) {
            (Self::Pending, A::Process) => Some(Self::Processing),
            (Self::Pending | Self::Processing, A::Ship) => Some(Self::Shipped),
            (Self::Pending | Self::Processing | Self::Shipped, A::Deliver) => Some(Self::Delivered),
            (Self::Pending, A::Cancel) => Some(Self::Cancelled),
            (Self::Cancelled | Self::Refunded, A::Refund) => None,
            (_, A::Refund) => Some(Self::Refunded),
            _ => None,
        }
    }
}

/// Why an order does not take an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    #[error("an order that is {} does not allow this", .0.as_str())]
    Order(OrderStatus),
    #[error("the order has no item {0:?}")]
    UnknownItem(String),
    #[error("the item {0:?} does not allow this any more")]
    Item(String),
}

impl Order {
    /// Takes the order one step on, and with it the items that `named` names, or all
    /// that the step concerns where it names none. Answers the items that moved.
    ///
    /// Shipping and delivering go item by item: the order itself moves with the last.
    ///
    /// # Errors
    /// [`OrderRefusal`]; the order may be changed in part then, so discard it.
    pub fn take(
        &mut self,
        action: OrderAction,
        named: Option<&[String]>,
    ) -> Result<Vec<&mut OrderItem>, OrderRefusal> {
        let next = self.status.after(action).ok_or(OrderRefusal::Order(self.status))?;
        for name in named.unwrap_or_default() {
            let item = self.items.iter().find(|item| item.item_id == *name);
            let item = item.ok_or_else(|| OrderRefusal::UnknownItem(name.clone()))?;
            if item.fulfillment_status.after(action).is_none() {
                return Err(OrderRefusal::Item(name.clone()));
            }
        }
        let mut moved = vec![false; self.items.len()];
        for (item, moves) in self.items.iter_mut().zip(&mut moved) {
            let concerned = named.is_none_or(|names| names.contains(&item.item_id));
            let after = item.fulfillment_status.after(action).filter(|_| concerned);
            *moves = after.is_some();
            item.fulfillment_status = after.unwrap_or(item.fulfillment_status);
        }
        let item_by_item = matches!(action, OrderAction::Ship | OrderAction::Deliver);
        let left = self.items.iter().any(|item| item.fulfillment_status.after(action).is_some());
        if !(item_by_item && left) {
            self.status = next;
        }
        let items = self.items.iter_mut().zip(moved);
        Ok(items.filter_map(|(item, moved)| moved.then_some(item)).collect())
    }
}

#[cfg(test)]
mod tests;

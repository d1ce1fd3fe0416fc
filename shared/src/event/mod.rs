//! The vocabulary of events: which there are, where they go, what they look like.

mod envelope;
mod partition;

use std::fmt;
use std::str::FromStr;

pub use envelope::{Envelope, deletion_data, header};
pub use partition::partition_of;

/// The topic of the records that the projector can never apply, before the cluster's
/// prefix.
pub const DEAD_LETTER_TOPIC: &str = "dead-letter";

/// One of the five aggregates; each has a topic, a collection and a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    User,
    Supplier,
    Product,
    Order,
    Post,
}

impl Domain {
    pub const ALL: [Self; 5] = [Self::User, Self::Supplier, Self::Product, Self::Order, Self::Post];

    /// The Kafka topic: also the part of an event type before the dot.
    pub fn topic(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Supplier => "supplier",
            Self::Product => "product",
            Self::Order => "order",
            Self::Post => "post",
        }
    }

    /// The MongoDB collection, which is also the name of the MySQL table.
    pub fn collection(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Supplier => "suppliers",
            Self::Product => "products",
            Self::Order => "orders",
            Self::Post => "posts",
        }
    }

    /// The key of the id in a delete event's data, and the primary key in MySQL.
    pub fn id_key(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Supplier => "supplier_id",
            Self::Product => "product_id",
            Self::Order => "order_id",
            Self::Post => "post_id",
        }
    }

    pub fn from_topic(topic: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|domain| domain.topic() == topic)
    }
}

/// The 24 kinds of events (contract §1 and §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    UserCreated,
    UserUpdated,
    UserDeleted,
    SupplierCreated,
    SupplierUpdated,
    SupplierDeleted,
    ProductCreated,
    ProductUpdated,
    ProductDeleted,
    ProductPublished,
    ProductDiscontinued,
    ProductOutOfStock,
    ProductRestored,
    OrderCreated,
    OrderConfirmed,
    OrderProcessing,
    OrderShipped,
    OrderDelivered,
    OrderCancelled,
    OrderRefunded,
    PostCreated,
    PostUpdated,
    PostDeleted,
    PostPublished,
}

/// A name that is none of the 24.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {0:?}")]
pub struct UnknownEventType(pub String);

impl EventType {
    pub const ALL: [Self; 24] = [
        Self::UserCreated,
        Self::UserUpdated,
        Self::UserDeleted,
        Self::SupplierCreated,
        Self::SupplierUpdated,
        Self::SupplierDeleted,
        Self::ProductCreated,
        Self::ProductUpdated,
        Self::ProductDeleted,
        Self::ProductPublished,
        Self::ProductDiscontinued,
        Self::ProductOutOfStock,
        Self::ProductRestored,
        Self::OrderCreated,
        Self::OrderConfirmed,
        Self::OrderProcessing,
        Self::OrderShipped,
        Self::OrderDelivered,
        Self::OrderCancelled,
        Self::OrderRefunded,
        Self::PostCreated,
        Self::PostUpdated,
        Self::PostDeleted,
        Self::PostPublished,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user.created",
            Self::UserUpdated => "user.updated",
            Self::UserDeleted => "user.deleted",
            Self::SupplierCreated => "supplier.created",
            Self::SupplierUpdated => "supplier.updated",
            Self::SupplierDeleted => "supplier.deleted",
            Self::ProductCreated => "product.created",
            Self::ProductUpdated => "product.updated",
            Self::ProductDeleted => "product.deleted",
            Self::ProductPublished => "product.published",
            Self::ProductDiscontinued => "product.discontinued",
            Self::ProductOutOfStock => "product.out_of_stock",
            Self::ProductRestored => "product.restored",
            Self::OrderCreated => "order.created",
            Self::OrderConfirmed => "order.confirmed",
            Self::OrderProcessing => "order.processing",
            Self::OrderShipped => "order.shipped",
            Self::OrderDelivered => "order.delivered",
            Self::OrderCancelled => "order.cancelled",
            Self::OrderRefunded => "order.refunded",
            Self::PostCreated => "post.created",
            Self::PostUpdated => "post.updated",
            Self::PostDeleted => "post.deleted",
            Self::PostPublished => "post.published",
        }
    }

    pub fn domain(self) -> Domain {
        match self {
            Self::UserCreated | Self::UserUpdated | Self::UserDeleted => Domain::User,
            Self::SupplierCreated | Self::SupplierUpdated | Self::SupplierDeleted => {
                Domain::Supplier
            }
            Self::ProductCreated
            | Self::ProductUpdated
            | Self::ProductDeleted
            | Self::ProductPublished
            | Self::ProductDiscontinued
            | Self::ProductOutOfStock
            | Self::ProductRestored => Domain::Product,
            Self::OrderCreated
            | Self::OrderConfirmed
            | Self::OrderProcessing
            | Self::OrderShipped
            | Self::OrderDelivered
            | Self::OrderCancelled
            | Self::OrderRefunded => Domain::Order,
            Self::PostCreated | Self::PostUpdated | Self::PostDeleted | Self::PostPublished => {
                Domain::Post
            }
        }
    }

    /// Deletes carry only the id and the version, all others the whole document.
    pub fn is_deletion(self) -> bool {
        matches!(
            self,
            Self::UserDeleted | Self::SupplierDeleted | Self::ProductDeleted | Self::PostDeleted
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL
            .into_iter()
            .find(|event_type| event_type.as_str() == text)
            .ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_type_survives_its_text_and_lies_in_its_topic() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse::<EventType>().unwrap(), event_type);
            let (topic, _) = event_type.as_str().split_once('.').unwrap();
            assert_eq!(event_type.domain().topic(), topic, "{event_type}");
        }
        assert!("order.eaten".parse::<EventType>().is_err());
    }

    #[test]
    fn every_topic_names_its_domain() {
        for domain in Domain::ALL {
            assert_eq!(Domain::from_topic(domain.topic()), Some(domain));
        }
        assert_eq!(Domain::from_topic("payment"), None);
    }
}

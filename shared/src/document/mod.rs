//! The five aggregates, in the shape that MongoDB, the REST answers and the
//! events share (contract §1 Documents).
//!
//! Secrets (password hashes, bank details) are no part of these types: what
//! cannot be named here cannot leak into an answer, an event or a row.
//!
//! The parts that clients send as they are stored carry the contract's limits
//! (`garde`). Those bind requests only: a document that is already stored is read
//! as it is.

mod order;
mod order_life;
mod post;
mod product;
pub mod rules;
mod supplier;
mod user;

use serde::{Serialize, de::DeserializeOwned};

pub use order::{Customer, Order, OrderItem, ProductSnapshot, ShippingAddress};
pub use order_life::{FulfillmentStatus, OrderAction, OrderRefusal, OrderStatus};
pub use post::{Author, AuthorType, LinkPreview, Media, MediaType, Post, PostStats, PostType};
pub use product::{
    Category, PackageDimensions, Product, ProductAction, ProductMetadata, ProductStats,
    ProductStatus, StockLocation, SupplierInfo, TopicDescription, UnitType, Variant,
    VariantAttribute,
};
pub use supplier::{Address, BusinessInfo, CompanyInfo, Supplier, SupplierContact};
pub use user::{DEFAULT_AVATAR, Profile, User, UserContact};

use crate::event::Domain;
use crate::{Id, Timestamp};

/// What the five aggregates have in common.
///
/// `version` is 1 on create and grows by 1 with every write: it is the order
/// that readers of the events rely on. A document written by the Python system
/// may lack it; that counts as 0.
pub trait Document: Serialize + DeserializeOwned + Clone + Send + Sync + Unpin + 'static {
    const DOMAIN: Domain;

    fn id(&self) -> Id;
    fn version(&self) -> i64;

    /// Kept in MongoDB, but gone for whoever asks: 404.
    fn is_deleted(&self) -> bool;

    /// Prepares the next write: version + 1, `updated_at` = `now`.
    fn advance(&mut self, now: Timestamp);
}

/// The version every document starts with.
pub const FIRST_VERSION: i64 = 1;

/// Implements [`Document`] from the four fields every aggregate has.
///
/// A macro, because serde's `flatten`, the other way to share these fields,
/// loses the difference between BSON and JSON that [`Id`] and [`Timestamp`]
/// depend on.
macro_rules! aggregate {
    ($type:ident, $domain:expr, $is_deleted:expr) => {
        impl $crate::document::Document for $type {
            const DOMAIN: $crate::event::Domain = $domain;

            fn id(&self) -> $crate::Id {
                self.id
            }

            fn version(&self) -> i64 {
                self.version
            }

            fn is_deleted(&self) -> bool {
                let is_deleted: fn(&Self) -> bool = $is_deleted;
                is_deleted(self)
            }

            fn advance(&mut self, now: $crate::Timestamp) {
                self.version += 1;
                self.updated_at = now;
            }
        }
    };
}
use aggregate;

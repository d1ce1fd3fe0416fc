//! Changes become writes. Pure: no clock, no server.
//!
//! Of each entity only the newest change of the batch counts; the rows come grouped by
//! table and sorted by id, so that any two projectors lock in the same order.

use std::collections::HashMap;

use shared::Id;
use shared::event::Domain;

use crate::decode::{Change, Content};
use crate::tables::{
    OrderItemRow, OrderRow, PostRow, ProductRow, ProductVariantRow, SupplierRow, TombstoneRow,
    UserRow,
};

/// The newest change of each entity so far.
///
/// A document and a statement without one (a deletion, an older cancellation) are kept
/// apart: where the row stays, it shows the newest document under the newest statement.
#[derive(Debug, Default)]
pub struct Newest(HashMap<(Domain, Id, Kind), Change>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Document,
    Statement,
}

/// What became of a change that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Taken,
    /// It does not outrank what is here already: it came twice, or late.
    Stale,
}

impl Newest {
    pub fn offer(&mut self, change: Change) -> Offer {
        let kind = match change.content {
            Content::Deleted(_) | Content::OrderCancelled => Kind::Statement,
            _ => Kind::Document,
        };
        let key = (change.content.domain(), change.entity, kind);
        match self.0.get(&key) {
            Some(present) if !change.rank().outranks(present.rank()) => Offer::Stale,
            _ => {
                self.0.insert(key, change);
                Offer::Taken
            }
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The writes that bring MySQL from any earlier state to at least these changes.
    pub fn plan(&self) -> Writes {
        let mut writes = Writes::default();
        for change in self.0.values() {
            writes.add(change);
        }
        writes.sort();
        writes
    }
}

/// Rows to be written in one transaction, by table, each sorted by id.
#[derive(Debug, Default, PartialEq)]
pub struct Writes {
    pub tombstones: Vec<TombstoneRow>,
    pub users: Vec<UserRow>,
    pub suppliers: Vec<SupplierRow>,
    pub products: Vec<ProductRow>,
    pub product_variants: Vec<ProductVariantRow>,
    pub orders: Vec<OrderRow>,
    pub order_items: Vec<OrderItemRow>,
    pub posts: Vec<PostRow>,
}

impl Writes {
    fn add(&mut self, change: &Change) {
        let stamp = change.stamp.clone();
        match &change.content {
            Content::User(user) => self.users.push(UserRow::from_document(user, stamp)),
            Content::Supplier(supplier) => {
                self.suppliers
                    .push(SupplierRow::from_document(supplier, stamp));
            }
            Content::Product(product) => {
                self.products
                    .push(ProductRow::from_document(product, stamp));
                self.product_variants
                    .extend(ProductVariantRow::from_document(product));
            }
            Content::Order(order) => {
                self.orders.push(OrderRow::from_document(order, stamp));
                self.order_items.extend(OrderItemRow::from_document(order));
            }
            Content::Post(post) => self.posts.push(PostRow::from_document(post, stamp)),
            Content::Deleted(_) | Content::OrderCancelled => {
                self.tombstones.push(tombstone(change));
            }
        }
    }

    fn sort(&mut self) {
        self.tombstones
            .sort_by(|a, b| (&a.domain, &a.entity_id).cmp(&(&b.domain, &b.entity_id)));
        self.users.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        self.suppliers
            .sort_by(|a, b| a.supplier_id.cmp(&b.supplier_id));
        self.products
            .sort_by(|a, b| a.product_id.cmp(&b.product_id));
        self.product_variants
            .sort_by(|a, b| (&a.product_id, &a.variant_key).cmp(&(&b.product_id, &b.variant_key)));
        self.orders.sort_by(|a, b| a.order_id.cmp(&b.order_id));
        self.order_items
            .sort_by(|a, b| (&a.order_id, &a.item_id).cmp(&(&b.order_id, &b.item_id)));
        self.posts.sort_by(|a, b| a.post_id.cmp(&b.post_id));
    }

    /// The entities of `domain` of which a statement is to be recorded.
    pub fn stated(&self, domain: Domain) -> Vec<&str> {
        self.tombstones
            .iter()
            .filter(|tombstone| tombstone.domain == domain.topic())
            .map(|tombstone| tombstone.entity_id.as_str())
            .collect()
    }
}

fn tombstone(change: &Change) -> TombstoneRow {
    TombstoneRow {
        domain: change.content.domain().topic().to_owned(),
        entity_id: change.entity.to_string(),
        version: change.stamp.version,
        event_id: change.stamp.event_id.clone(),
        event_timestamp: change.stamp.event_timestamp,
        content_version: None,
        content_timestamp: None,
    }
}

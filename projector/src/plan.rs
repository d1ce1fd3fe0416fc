//! Changes become writes. Pure: no clock, no server.
//!
//! The rows come grouped by table and sorted by id, so that any two projectors lock in
//! the same order.

use shared::event::Domain;

use crate::decode::{Change, Content};
use crate::tables::{
    OrderItemRow, OrderRow, PostRow, ProductRow, ProductVariantRow, SupplierRow, TombstoneRow,
    UserRow,
};

/// Rows to be written together, by table, each sorted by id.
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
    /// What brings MySQL from any earlier state to at least these changes.
    pub fn of(newest: impl IntoIterator<Item = Change>) -> Self {
        let mut writes = Self::default();
        for change in newest {
            writes.add(&change);
        }
        writes.sort();
        writes
    }

    fn add(&mut self, change: &Change) {
        let stamp = change.stamp.clone();
        match &change.content {
            Content::User(user) => self.users.push(UserRow::from_document(user, stamp)),
            Content::Supplier(supplier) => {
                self.suppliers.push(SupplierRow::from_document(supplier, stamp));
            }
            Content::Product(product) => {
                self.products.push(ProductRow::from_document(product, stamp));
                self.product_variants.extend(ProductVariantRow::from_document(product));
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
        self.tombstones.sort_by(|a, b| (&a.domain, &a.entity_id).cmp(&(&b.domain, &b.entity_id)));
        self.users.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        self.suppliers.sort_by(|a, b| a.supplier_id.cmp(&b.supplier_id));
        self.products.sort_by(|a, b| a.product_id.cmp(&b.product_id));
        self.product_variants
            .sort_by(|a, b| (&a.product_id, &a.variant_key).cmp(&(&b.product_id, &b.variant_key)));
        self.orders.sort_by(|a, b| a.order_id.cmp(&b.order_id));
        self.order_items.sort_by(|a, b| (&a.order_id, &a.item_id).cmp(&(&b.order_id, &b.item_id)));
        self.posts.sort_by(|a, b| a.post_id.cmp(&b.post_id));
    }

    /// Whether there is a row or a statement of `domain` among them.
    pub fn touches(&self, domain: Domain) -> bool {
        let has_rows = match domain {
            Domain::User => !self.users.is_empty(),
            Domain::Supplier => !self.suppliers.is_empty(),
            Domain::Product => !self.products.is_empty(),
            Domain::Order => !self.orders.is_empty(),
            Domain::Post => !self.posts.is_empty(),
        };
        has_rows || self.tombstones_of(domain).next().is_some()
    }

    /// The entities of `domain` of which a statement is to be recorded.
    pub fn stated(&self, domain: Domain) -> Vec<&str> {
        self.tombstones_of(domain).map(|tombstone| tombstone.entity_id.as_str()).collect()
    }

    fn tombstones_of(&self, domain: Domain) -> impl Iterator<Item = &TombstoneRow> {
        self.tombstones.iter().filter(move |tombstone| tombstone.domain == domain.topic())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::newest::{Newest, Offer};
    use crate::record::sample::{Sample, ids};

    fn plan(samples: impl IntoIterator<Item = Sample>) -> (Writes, Vec<Offer>) {
        let changes = samples.into_iter().map(|sample| decode(&sample.record()).unwrap());
        let changes: Vec<_> = changes.collect();
        let mut newest = Newest::default();
        let offers = (changes.iter().enumerate())
            .map(|(place, change)| newest.offer(change, place))
            .collect();
        let places = newest.portions().concat();
        (Writes::of(places.into_iter().map(|place| changes[place].clone())), offers)
    }

    #[test]
    fn of_an_entity_the_newest_change_counts_whatever_the_order() {
        let [id, ..] = ids();
        let user = |version| Sample::user(id, version);
        let (rising, offers) = plan([user(1), user(2), user(3)]);
        assert_eq!(offers, [Offer::Taken, Offer::Superseding(0), Offer::Superseding(1)]);
        let (falling, offers) = plan([user(3), user(1), user(3), user(2)]);
        assert_eq!(offers, [Offer::Taken, Offer::Stale, Offer::Stale, Offer::Stale]);
        assert_eq!(rising, falling);
        assert_eq!(rising.users.len(), 1);
        assert_eq!(rising.users[0].version, 3);
    }

    #[test]
    fn the_older_producers_events_go_by_their_moments_and_below_any_version() {
        let [id, ..] = ids();
        let older = |second| Sample::user(id, 1).older(second);
        let (writes, offers) = plan([older(5), older(4), older(6)]);
        assert_eq!(offers, [Offer::Taken, Offer::Stale, Offer::Superseding(0)]);
        assert_eq!(writes.users[0].version, 0);
        let (writes, offers) = plan([older(50), Sample::user(id, 1).at(1), older(60)]);
        assert_eq!(offers, [Offer::Taken, Offer::Superseding(0), Offer::Stale]);
        assert_eq!(writes.users[0].version, 1);
    }

    #[test]
    fn a_deletion_is_kept_beside_the_document_it_lies_over() {
        let [id, ..] = ids();
        let (writes, _) = plan([Sample::deletion(id, 3), Sample::user(id, 2), Sample::user(id, 1)]);
        assert_eq!(writes.users[0].version, 2);
        assert_eq!(writes.tombstones[0].version, 3);
        assert_eq!(writes.stated(Domain::User), [id.to_string()]);
        assert!(writes.stated(Domain::Post).is_empty());
    }

    #[test]
    fn rows_come_in_one_order_whichever_way_they_arrived() {
        let all = ids();
        let forward = plan(all.map(|id| Sample::user(id, 1))).0;
        let mut reversed = all;
        reversed.reverse();
        let backward = plan(reversed.map(|id| Sample::user(id, 1))).0;
        assert_eq!(forward, backward);
        assert!(forward.users.is_sorted_by_key(|row| row.user_id.clone()));
    }
}

//! The model of the random histories: it writes events, and knows the true order, and so
//! what the rows shall be.

use std::collections::{BTreeMap, BTreeSet};

use projector::tables::*;
use rand::prelude::*;
use rand::rngs::StdRng;
use shared::document::*;
use shared::event::{Domain, EventType, deletion_data};
use shared::{Id, Timestamp};

use crate::bed::Message;
use crate::documents::{order, post, product, supplier, user};

/// What the rows of a case shall be in the end, by id.
#[derive(Debug, Default, PartialEq)]
pub struct Rows {
    pub users: BTreeMap<String, UserRow>,
    pub suppliers: BTreeMap<String, SupplierRow>,
    pub products: BTreeMap<String, (ProductRow, Vec<ProductVariantRow>)>,
    pub orders: BTreeMap<String, (OrderRow, Vec<OrderItemRow>)>,
    pub posts: BTreeMap<String, PostRow>,
}

pub struct Case {
    pub seed: u64,
    pub random: StdRng,
    /// The events of each topic in their true order.
    pub topics: BTreeMap<Domain, Vec<Message>>,
    /// Every entity there ever was.
    entities: BTreeMap<Domain, BTreeSet<Id>>,
    pub expected: Rows,
    /// Of the last event made.
    clock: i64,
}

/// How an entity's events are counted.
#[derive(Clone, Copy)]
enum Era {
    /// By the older producer: only their moments tell their order.
    Older,
    Newer,
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let mut case = Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            topics: BTreeMap::new(),
            entities: BTreeMap::new(),
            expected: Rows::default(),
            clock: 1_700_000_000_000,
        };
        for _ in 0..case.random.random_range(1..=2) {
            case.supplier_with_products();
            case.user();
            case.order();
            case.post();
        }
        case
    }

    /// From the seed, so that a replay locks and sorts alike.
    fn id(&mut self) -> Id {
        let (high, low): (u32, u64) = self.random.random();
        format!("{high:08x}{low:016x}").parse().unwrap()
    }

    fn now(&mut self) -> Timestamp {
        self.clock += self.random.random_range(1..5_000);
        Timestamp::from_millis(self.clock).unwrap()
    }

    /// Older events first, if any, then newer ones; at least one document.
    fn eras(&mut self) -> Vec<Era> {
        let older = if self.random.random_bool(0.4) { self.random.random_range(1..4) } else { 0 };
        let newer = self.random.random_range(if older == 0 { 1..5 } else { 0..4 });
        [vec![Era::Older; older], vec![Era::Newer; newer]].concat()
    }

    fn emit<D: serde::Serialize>(
        &mut self,
        era: Era,
        event_type: EventType,
        id: Id,
        version: i64,
        at: Timestamp,
        data: &D,
    ) -> Stamp {
        // The newer format's order is the version's; its clocks may be anywhere.
        let moment = match era {
            Era::Newer if self.random.random_bool(0.2) => {
                Timestamp::from_millis(at.millis() - 1_000_000_000).unwrap()
            }
            _ => at,
        };
        let message = match era {
            Era::Older => Message::older(event_type, id, moment, data),
            Era::Newer => Message::event(event_type, id, version, moment, data),
        };
        let value: serde_json::Value =
            serde_json::from_slice(message.value.as_deref().unwrap()).unwrap();
        let stamp = Stamp {
            event_id: value["event_id"].as_str().unwrap().to_owned(),
            event_timestamp: moment.naive(),
            version: match era {
                Era::Older => 0,
                Era::Newer => version,
            },
        };
        self.topics.entry(event_type.domain()).or_default().push(message);
        self.entities.entry(event_type.domain()).or_default().insert(id);
        stamp
    }

    fn delete(
        &mut self,
        event_type: EventType,
        id: Id,
        last: i64,
        eras: &[Era],
    ) -> (Stamp, Timestamp) {
        let at = self.now();
        let data = deletion_data(event_type.domain(), id, last + 1);
        // Which format the last one has, its deletion has.
        let era = *eras.last().unwrap();
        let stamp = self.emit(era, event_type, id, last + 1, at, &data);
        (stamp.clone(), at)
    }

    fn user(&mut self) {
        let (id, eras, mut version) = (self.id(), self.eras(), 0);
        let mut row = None;
        for era in eras.iter().copied() {
            version += i64::from(matches!(era, Era::Newer));
            let at = self.now();
            let document = User { updated_at: at, ..user(id, version) };
            let stamp = self.emit(era, EventType::UserUpdated, id, version, at, &document);
            row = Some(UserRow::from_document(&document, stamp));
        }
        let mut row = row.unwrap();
        if self.random.random_bool(0.4) {
            let (stamp, _) = self.delete(EventType::UserDeleted, id, version, &eras);
            row.deleted_at = Some(stamp.event_timestamp);
            row.updated_at = stamp.event_timestamp;
            (row.event_id, row.event_timestamp, row.version) =
                (stamp.event_id, stamp.event_timestamp, stamp.version);
        }
        self.expected.users.insert(id.to_string(), row);
    }

    fn post(&mut self) {
        let (id, eras, mut version) = (self.id(), self.eras(), 0);
        let mut last = None;
        for era in eras.iter().copied() {
            version += i64::from(matches!(era, Era::Newer));
            let at = self.now();
            let document = Post { updated_at: at, ..post(id, version) };
            let stamp = self.emit(era, EventType::PostUpdated, id, version, at, &document);
            last = Some((PostRow::from_document(&document, stamp), document));
        }
        let (mut row, mut document) = last.unwrap();
        if self.random.random_bool(0.4) {
            let (stamp, at) = self.delete(EventType::PostDeleted, id, version, &eras);
            row.deleted_at = Some(stamp.event_timestamp);
            row.updated_at = stamp.event_timestamp;
            (row.event_id, row.event_timestamp, row.version) =
                (stamp.event_id, stamp.event_timestamp, stamp.version);
            if self.random.random_bool(0.3) {
                // A repair writes the deleted document once more.
                version = row.version + 1;
                document = Post { version, deleted_at: Some(at), updated_at: at, ..document };
                let now = self.now();
                let stamp =
                    self.emit(Era::Newer, EventType::PostUpdated, id, version, now, &document);
                row = PostRow::from_document(&document, stamp);
            }
        }
        self.expected.posts.insert(id.to_string(), row);
    }

    fn order(&mut self) {
        let (id, eras, mut version) = (self.id(), self.eras(), 0);
        let number = format!("ORD-20260101-{id}");
        let mut last = None;
        for era in eras.iter().copied() {
            version += i64::from(matches!(era, Era::Newer));
            let at = self.now();
            let items = ["item_1", "item_2", "item_3"];
            let items = &items[..self.random.random_range(1..=items.len())];
            let document = Order { updated_at: at, ..order(id, &number, version, items) };
            let stamp = self.emit(era, EventType::OrderConfirmed, id, version, at, &document);
            last = Some((
                OrderRow::from_document(&document, stamp),
                OrderItemRow::from_document(&document),
            ));
        }
        let (mut row, items) = last.unwrap();
        if version == 0 && self.random.random_bool(0.5) {
            let at = self.now();
            let data = serde_json::json!({"order_number": number});
            let stamp = self.emit(Era::Older, EventType::OrderCancelled, id, 0, at, &data);
            row.status = "cancelled".to_owned();
            row.updated_at = at.naive();
            (row.event_id, row.event_timestamp) = (stamp.event_id, stamp.event_timestamp);
        }
        self.expected.orders.insert(id.to_string(), (row, items));
    }

    fn supplier_with_products(&mut self) {
        let id = self.id();
        self.entities.entry(Domain::Supplier).or_default().insert(id);
        // Sometimes its own events are beyond the topic's retention.
        let mut row = SupplierRow::placeholder(&id.to_string());
        let eras = if self.random.random_bool(0.1) { Vec::new() } else { self.eras() };
        let mut version = 0;
        for era in eras.iter().copied() {
            version += i64::from(matches!(era, Era::Newer));
            let at = self.now();
            let document = Supplier { updated_at: at, ..supplier(id, version) };
            let stamp = self.emit(era, EventType::SupplierUpdated, id, version, at, &document);
            row = SupplierRow::from_document(&document, stamp);
        }
        let is_deleted = !eras.is_empty() && self.random.random_bool(0.4);
        // The older producer may have left the products of a deleted supplier alone.
        let cascades = self.random.random_bool(0.7);
        let mut has_products = false;
        for _ in 0..self.random.random_range(0..3) {
            has_products = true;
            self.product(id, is_deleted, is_deleted && cascades);
        }
        if is_deleted {
            self.delete(EventType::SupplierDeleted, id, version, &eras);
        } else if has_products || !eras.is_empty() {
            self.expected.suppliers.insert(id.to_string(), row);
        }
    }

    fn product(&mut self, owner: Id, is_orphan: bool, goes_with_owner: bool) {
        let (id, eras, mut version) = (self.id(), self.eras(), 0);
        let mut last = None;
        for era in eras.iter().copied() {
            version += i64::from(matches!(era, Era::Newer));
            let at = self.now();
            let keys: Vec<_> = ["red", "Red", "red ", "röd"]
                .into_iter()
                .filter(|_| self.random.random_bool(0.5))
                .collect();
            let document = Product { updated_at: at, ..product(id, owner, version, &keys) };
            let stamp = self.emit(era, EventType::ProductUpdated, id, version, at, &document);
            let mut row = ProductRow::from_document(&document, stamp);
            row.supplier_id = row.supplier_id.filter(|_| !is_orphan);
            last = Some((row, ProductVariantRow::from_document(&document)));
        }
        if goes_with_owner || self.random.random_bool(0.2) {
            self.delete(EventType::ProductDeleted, id, version, &eras);
        } else {
            self.expected.products.insert(id.to_string(), last.unwrap());
        }
    }

    pub fn ids(&self, domain: Domain) -> Vec<String> {
        self.entities
            .get(&domain)
            .map(|ids| ids.iter().map(Id::to_string).collect())
            .unwrap_or_default()
    }
}

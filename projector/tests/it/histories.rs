//! Random histories, mistreated: whatever arrives, in whatever order and however often,
//! the rows end equal to what a model says that only knows the true order.
//!
//! `PROJECTOR_TEST_SEED=n` replays one case, `PROJECTOR_TEST_CASES=n` runs as many.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use projector::database::Connection;
use projector::record::Record;
use projector::schema::{order_items, orders, posts, product_variants, products, suppliers, users};
use projector::tables::*;
use rand::prelude::*;
use rand::rngs::StdRng;
use shared::document::*;
use shared::event::{Domain, EventType, deletion_data};
use shared::{Id, Timestamp};

use crate::bed::{Bed, Message};
use crate::documents::{order, post, product, supplier, user};
use crate::own_mysql::OwnMysql;
use crate::sink::{Sink, record};

const CASES: u64 = 1_000;

/// At the same time, on the same tables: as many instances would.
const WORKERS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rows_equal_the_model_after_any_history() {
    run_cases(Bed::without_topics(), CASES).await;
}

/// The same statements on the other server that promises to understand them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rows_equal_the_model_on_mariadb_too() {
    let mariadb = OwnMysql::mariadb().await;
    let bed = Bed::without_topics();
    run_cases(mariadb.instead(bed), CASES / 10).await;
}

async fn run_cases(bed: Bed, cases: u64) {
    projector::database::prepare(&bed.config.mysql).await.unwrap();
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (first, cases) = match number("PROJECTOR_TEST_SEED") {
        Some(seed) => (seed, 1),
        None => (rand::random::<u32>().into(), number("PROJECTOR_TEST_CASES").unwrap_or(cases)),
    };
    println!("{cases} cases from seed {first}");
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let settings = bed.config.mysql.clone();
            tokio::spawn(async move {
                let mut sinks = [Sink::new(&settings).await, Sink::new(&settings).await];
                let mut connection = projector::database::connect(&settings).await.unwrap();
                for seed in (first..first + cases).filter(|seed| seed % WORKERS == worker) {
                    Case::new(seed).run(&mut sinks, &mut connection).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    bed.drop_database().await;
}

/// What the rows of a case shall be in the end, by id.
#[derive(Debug, Default, PartialEq)]
struct Rows {
    users: BTreeMap<String, UserRow>,
    suppliers: BTreeMap<String, SupplierRow>,
    products: BTreeMap<String, (ProductRow, Vec<ProductVariantRow>)>,
    orders: BTreeMap<String, (OrderRow, Vec<OrderItemRow>)>,
    posts: BTreeMap<String, PostRow>,
}

struct Case {
    seed: u64,
    random: StdRng,
    /// The events of each topic in their true order.
    topics: BTreeMap<Domain, Vec<Message>>,
    /// Every entity there ever was.
    entities: BTreeMap<Domain, BTreeSet<Id>>,
    expected: Rows,
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
    fn new(seed: u64) -> Self {
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

    async fn run(mut self, sinks: &mut [Sink; 2], connection: &mut Connection) {
        let [first, second] = sinks;
        let mut logs: Vec<_> = self.mistreated_logs();
        logs.shuffle(&mut self.random);
        // Two instances share the topics.
        let others = logs.split_off(self.random.random_range(0..=logs.len()));
        let (mut random, mut other_random) =
            (StdRng::from_rng(&mut self.random), StdRng::from_rng(&mut self.random));
        tokio::join!(consume(&mut random, logs, first), consume(&mut other_random, others, second));
        let found = self.found(connection).await;
        assert_eq!(found, self.expected, "PROJECTOR_TEST_SEED={} replays this", self.seed);
    }

    /// A log for each topic: repeated here and there, and sometimes, as after a redrive
    /// of dead letters, in no order at all.
    fn mistreated_logs(&mut self) -> Vec<Vec<Record>> {
        let prefix = format!("case{}.", self.seed);
        let topics = std::mem::take(&mut self.topics);
        let mut logs = Vec::new();
        for mut messages in topics.into_values() {
            for _ in 0..self.random.random_range(0..3) {
                let again = messages.choose(&mut self.random).unwrap().clone();
                let place = self.random.random_range(0..=messages.len());
                messages.insert(place, again);
            }
            if self.random.random_bool(0.3) {
                messages.shuffle(&mut self.random);
            }
            let records =
                (0..).zip(&messages).map(|(offset, message)| record(message, &prefix, offset));
            logs.push(records.collect());
        }
        logs
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

    /// The rows of this case's entities.
    async fn found(&self, connection: &mut Connection) -> Rows {
        let mut rows = Rows::default();
        for id in self.ids(Domain::User) {
            let row = users::table.find(&id).select(UserRow::as_select());
            rows.users.extend(row.first(connection).await.optional().unwrap().map(|row| (id, row)));
        }
        for id in self.ids(Domain::Post) {
            let row = posts::table.find(&id).select(PostRow::as_select());
            rows.posts.extend(row.first(connection).await.optional().unwrap().map(|row| (id, row)));
        }
        for id in self.ids(Domain::Supplier) {
            let row = suppliers::table.find(&id).select(SupplierRow::as_select());
            rows.suppliers
                .extend(row.first(connection).await.optional().unwrap().map(|row| (id, row)));
        }
        for id in self.ids(Domain::Product) {
            let row = products::table.find(&id).select(ProductRow::as_select());
            let Some(row) = row.first(connection).await.optional().unwrap() else {
                continue;
            };
            let children = product_variants::table
                .filter(product_variants::product_id.eq(&id))
                .select(ProductVariantRow::as_select());
            let mut children: Vec<ProductVariantRow> = children.load(connection).await.unwrap();
            children.sort_by(|a, b| a.variant_key.cmp(&b.variant_key));
            rows.products.insert(id, (row, children));
        }
        for id in self.ids(Domain::Order) {
            let row = orders::table.find(&id).select(OrderRow::as_select());
            let Some(row) = row.first(connection).await.optional().unwrap() else {
                continue;
            };
            let children = order_items::table
                .filter(order_items::order_id.eq(&id))
                .select(OrderItemRow::as_select());
            let mut children: Vec<OrderItemRow> = children.load(connection).await.unwrap();
            children.sort_by(|a, b| a.item_id.cmp(&b.item_id));
            rows.orders.insert(id, (row, children));
        }
        rows
    }

    fn ids(&self, domain: Domain) -> Vec<String> {
        self.entities
            .get(&domain)
            .map(|ids| ids.iter().map(Id::to_string).collect())
            .unwrap_or_default()
    }
}

/// As an instance does that crashes now and then: batches of one topic or several, and
/// after a crash again from some earlier offset.
async fn consume(random: &mut StdRng, logs: Vec<Vec<Record>>, sink: &mut Sink) {
    let mut positions = vec![0; logs.len()];
    while positions.iter().zip(&logs).any(|(position, log)| *position < log.len()) {
        let mut batch = Vec::new();
        for (position, log) in positions.iter_mut().zip(&logs) {
            let most = (log.len() - *position).min(6);
            let taken = random.random_range(0..=most);
            batch.extend_from_slice(&log[*position..*position + taken]);
            *position += taken;
        }
        sink.apply(batch).await.unwrap();
        if random.random_bool(0.1) {
            for position in &mut positions {
                *position = random.random_range(0..=*position);
            }
        }
    }
}

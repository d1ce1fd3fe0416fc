//! Random histories, mistreated: whatever arrives, in whatever order and however often,
//! the rows end equal to what a model says that only knows the true order.
//!
//! `PROJECTOR_TEST_SEED=n` replays one case, `PROJECTOR_TEST_CASES=n` runs as many.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use projector::database::Connection;
use projector::record::Record;
use projector::schema::{order_items, orders, posts, product_variants, products, suppliers, users};
use projector::tables::*;
use rand::prelude::*;
use rand::rngs::StdRng;
use shared::event::Domain;

use crate::bed::Bed;
use crate::model::{Case, Rows};
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

impl Case {
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

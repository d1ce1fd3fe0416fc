//! Backlogs in Kafka, drained into MySQL, beside the bare upsert of the same final rows.
//!
//! A drain is timed from the moment that the projector is given its partitions, as its
//! log says, to the one at which `projection_progress` names the last record of each.

use std::time::{Duration, Instant, SystemTime};

use e2e::{ProjectorAlone, Rows, Servers, Used, assigned_at};
use mysql_async::prelude::Queryable;
use shared::event::EventType;

use crate::backlog::{self, Ends, Load};
use crate::figures::Figures;
use crate::{Settings, upsert};

struct Drain {
    name: &'static str,
    load: Load,
    /// Parents first.
    tables: &'static [&'static str],
}

const DRAINS: [Drain; 3] = [
    Drain {
        name: "(a) 100k posts, distinct ids",
        load: Load { event_type: EventType::PostCreated, events: 100_000, entities: 100_000 },
        tables: &["posts"],
    },
    Drain {
        name: "(b) 100k user events over 5,000 ids",
        load: Load { event_type: EventType::UserUpdated, events: 100_000, entities: 5_000 },
        tables: &["users"],
    },
    Drain {
        name: "(c) 100k product events over 5,000 ids",
        load: Load { event_type: EventType::ProductUpdated, events: 100_000, entities: 5_000 },
        tables: &["products", "product_variants"],
    },
];

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    for run in 1..=settings.runs {
        println!("projector: run {run} of {}", settings.runs);
        for drain in &DRAINS {
            measure_drain(servers, drain, figures).await;
        }
    }
}

/// The backlog that shows whether memory is bounded: a million events.
pub async fn measure_a_million(servers: &Servers, figures: &mut Figures) {
    let load = Load { event_type: EventType::PostCreated, events: 1_000_000, entities: 300_000 };
    let projector = ProjectorAlone::prepare(servers, "million").await;
    let ends = backlog::publish(&projector, load).await;
    let drained = drain(&projector, &ends).await;
    let name = "a million post events over 300,000 ids";
    figures.add(name, "events/s", None, load.events as f64 / drained.time.as_secs_f64());
    figures.add(&format!("{name}: peak memory"), "MB", None, drained.peak_megabytes());
    figures.add(
        &format!("{name}: CPU per 1,000 events"),
        "ms",
        None,
        drained.cpu_milliseconds(load.events),
    );
    projector.clear().await;
}

async fn measure_drain(servers: &Servers, drain_of: &Drain, figures: &mut Figures) {
    let Drain { name, load, tables } = drain_of;
    let projector = ProjectorAlone::prepare(servers, "drain").await;
    let ends = backlog::publish(&projector, *load).await;
    let drained = drain(&projector, &ends).await;
    let bare = upsert::again(&projector.rows(), tables).await;
    projector.clear().await;

    let bare_name = format!("{name}: bare upsert of the final rows");
    // An entity's rows together: a product with its variants is one.
    figures.add(&bare_name, "entities/s", None, load.entities as f64 / bare.as_secs_f64());
    let rate = load.events as f64 / drained.time.as_secs_f64();
    figures.add(name, "events/s", Some(&bare_name), rate);
    if load.entities < load.events {
        let share = 100.0 * bare.as_secs_f64() / drained.time.as_secs_f64();
        figures.add(&format!("{name}: time of the bare upsert, of the drain's"), "%", None, share);
    }
    figures.add(&format!("{name}: peak memory"), "MB", None, drained.peak_megabytes());
    figures.add(
        &format!("{name}: CPU per 1,000 events"),
        "ms",
        None,
        drained.cpu_milliseconds(load.events),
    );
}

/// What it took to apply a backlog.
struct Drained {
    time: Duration,
    used: Used,
}

impl Drained {
    fn peak_megabytes(&self) -> f64 {
        self.used.peak_memory as f64 / f64::from(1 << 20)
    }

    fn cpu_milliseconds(&self, events: usize) -> f64 {
        self.used.cpu.as_secs_f64() * 1e6 / events as f64
    }
}

async fn drain(projector: &ProjectorAlone, ends: &Ends) -> Drained {
    let mut process = projector.start();
    await_progress(&projector.rows(), projector.setting("MYSQL_DATABASE"), ends).await;
    let ended = SystemTime::now();
    let begun = assigned_at(&process).expect("it has partitions");
    let drained =
        Drained { time: ended.duration_since(begun).expect("time passes"), used: process.used() };
    process.terminate(Duration::from_secs(20)).await;
    drained
}

/// Over one connection, which the projector's database need not exist for. It asks every
/// five milliseconds: the resolution of the time measured.
async fn await_progress(rows: &Rows, database: &str, ends: &Ends) {
    let mut connection = rows.connect_without_database().await.expect("MySQL answers");
    let query = format!("SELECT topic, `partition`, `offset` FROM {database}.projection_progress");
    let deadline = Instant::now() + Duration::from_secs(150);
    loop {
        // Until the projector has made it, there is no such table.
        let applied: Vec<(String, i32, i64)> = connection.query(&query).await.unwrap_or_default();
        let applied: Ends =
            applied.into_iter().map(|(topic, n, offset)| ((topic, n), offset)).collect();
        if applied == *ends {
            return;
        }
        assert!(Instant::now() < deadline, "{applied:?} of {ends:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

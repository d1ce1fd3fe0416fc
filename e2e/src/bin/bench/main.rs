//! `make bench`: what the pipeline does on this machine, as ratios to the raw limit
//! of the same servers, measured in the same run.
//!
//! Each figure is the median of several runs, with the lowest and the highest beside
//! it. The raw limits are bare driver loops that do the least that could be called the
//! same work; no absolute claim is made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod api;
mod backlog;
mod bare;
mod bare_chain;
mod clashes;
mod cost;
mod end_to_end;
mod figures;
mod growth;
mod http;
mod open_loop;
mod outbox;
mod projector;
mod reader;
mod reads;
mod relay;
mod stored;
mod upsert;
mod verify;

use e2e::Servers;
use figures::Figures;

const USAGE: &str = "bench [api|reads|relay|projector|latency|growth|million|verify]…   (BENCH_RUNS=3, \
                     BENCH_SECONDS=4, BENCH_JSON=FILE; api, reads, latency: BENCH_ONLY=part of \
                     the names of the rows wanted; relay: BENCH_BACKLOG=200000 events; relay, growth: \
                     BENCH_GROWTH=10)";

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let sections = if wanted.is_empty() {
        ["api", "reads", "relay", "projector", "latency", "growth"].map(str::to_owned).to_vec()
    } else {
        wanted
    };
    let servers = Servers::shared();
    let settings = Settings::from_environment();
    let mut figures = Figures::default();
    for section in &sections {
        match section.as_str() {
            "api" => api::measure(&servers, &settings, &mut figures).await,
            "reads" => reads::measure(&servers, &settings, &mut figures).await,
            "relay" => relay::measure(&servers, &settings, &mut figures).await,
            "projector" => projector::measure(&servers, &settings, &mut figures).await,
            "growth" => growth::measure(&servers, &settings, &mut figures).await,
            "latency" => end_to_end::measure(&servers, &settings, &mut figures).await,
            "million" => projector::measure_a_million(&servers, &mut figures).await,
            "verify" => verify::measure(&servers, &mut figures).await,
            other => panic!("no section {other:?}; usage: {USAGE}"),
        }
    }
    println!("\n{figures}");
    if let Some(file) = std::env::var_os("BENCH_JSON") {
        std::fs::write(&file, figures.to_json()).expect("BENCH_JSON can be written");
    }
}

/// How long and how often, and what of it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub runs: usize,
    pub seconds: u64,
    /// Events that wait when the relay starts.
    pub backlog: usize,
    /// How many times the first size what is stored comes to in the end.
    pub growth: usize,
    only: String,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
        };
        Self {
            runs: number("BENCH_RUNS", 3) as usize,
            seconds: number("BENCH_SECONDS", 4),
            backlog: number("BENCH_BACKLOG", 200_000) as usize,
            growth: number("BENCH_GROWTH", 10) as usize,
            only: std::env::var("BENCH_ONLY").unwrap_or_default(),
        }
    }

    /// Whether this row is to be measured.
    pub fn wants(&self, row: &str) -> bool {
        row.contains(&self.only)
    }
}

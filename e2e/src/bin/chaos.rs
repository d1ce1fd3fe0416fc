//! `make chaos`: faults, load and a checker; see [`e2e::chaos`].
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::Servers;
use e2e::chaos::{Deck, Relays, Settings, run};

const CLIENTS: u64 = 8;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings {
        seed: number("SEED").unwrap_or_else(|| now() % 100_000),
        seconds: number("SECONDS").unwrap_or(120),
        clients: number("CLIENTS").unwrap_or(CLIENTS),
        deck: Deck::Full,
        relays: match number("SHARDS") {
            None | Some(1) => Relays::Standby,
            Some(2) => Relays::Shards,
            Some(other) => panic!("SHARDS is 1 or 2, not {other}"),
        },
    };
    let Settings { seed, seconds, clients, relays, .. } = settings;
    println!("seed {seed}, {seconds} s, {clients} clients, relays as {relays:?}");
    let report = run(&Servers::shared(), settings, |line| println!("{line}")).await;
    println!("\n{report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An environment variable. Bash counts SECONDS itself, so `make` hands them on as
/// CHAOS_SEED and so on.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(format!("CHAOS_{name}")).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

//! `make chaos-restarts`: many restarts of Kafka, and how long each of them cost; see
//! [`e2e::restarts`].
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::process::ExitCode;

use e2e::{Servers, restarts};

#[tokio::main]
async fn main() -> ExitCode {
    let times = std::env::var("RESTARTS").expect("run through `make chaos-restarts`");
    let each: usize = times.parse().expect("RESTARTS is a number");
    // As many clean restarts, and as many kills.
    let outcome = restarts::run(&Servers::shared(), each * 2, |line| println!("{line}")).await;
    println!("\n{outcome}");
    if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

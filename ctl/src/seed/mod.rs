//! `outboxctl seed`: a small shop with its history, written through REST.

mod activity;
pub mod bodies;
mod catalogue;
pub mod draw;
mod execute;
mod people;
mod plan;
mod product;
mod report;
// Tables read better as tables.
#[rustfmt::skip]
mod words;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use shared::Timestamp;

use self::execute::Executor;
pub use self::execute::SeedError;
use self::plan::Plan;
use crate::rest::RestClient;
use crate::settings::ApiSettings;
use crate::terminal::Terminal;

/// Fill the shop through the REST API.
///
/// Users, suppliers, products with variants, orders and posts, each through its
/// life cycle, so that the 19 event types of the original API occur. The same --seed
/// gives the same data, except for ids and times, which the servers make, and
/// for the e-mail addresses, which carry the run's tag: seed as often as you like.
///
/// Requests that fail because the API is away or busy are repeated. Any other
/// refusal is a bug in one of the two: it is printed with its answer, and the
/// exit code is 1.
#[derive(Debug, Args)]
pub struct SeedArgs {
    #[command(flatten)]
    api: ApiSettings,

    /// Number that the data grows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How much: 1 is 100 users, 30 suppliers, 72 products, 150 orders, 150 posts.
    /// However small, every kind of event occurs.
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale)]
    scale: f64,

    /// Tag of this run, part of every e-mail address; drawn from the clock by
    /// default. Letters and digits.
    #[arg(long, value_parser = parse_tag)]
    tag: Option<String>,

    /// Requests under way at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,

    /// Seconds that one request may wait for an API that is away.
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if (0.0..=10_000.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 0 to 10000".to_owned()),
    }
}

fn parse_tag(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    match plain && text.len() <= 20 {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("1 to 20 letters and digits".to_owned()),
    }
}

/// # Errors
/// The first request that fails for good, or stdout's refusal.
pub async fn run(
    args: SeedArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<(), SeedError> {
    let run = args.tag.unwrap_or_else(|| format!("{:x}", Timestamp::now().millis()));
    let plan = Plan::new(args.seed, args.scale, &run);
    let patience = Duration::from_secs(args.patience);
    let client = RestClient::new(&args.api.api_url, patience)?;
    let progress = terminal.progress(plan.calls().count() as u64);
    let started = Instant::now();
    let executor = Executor {
        client: &client,
        run: &run,
        concurrency: usize::from(args.concurrency),
        progress: &progress,
    };
    let outcome = executor.carry_out(&plan).await;
    progress.finish();
    let tally = outcome?;
    write!(out, "{}", tally.table())?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(out, "seed {}, tag {run}, {seconds:.1} s", args.seed)?;
    Ok(())
}

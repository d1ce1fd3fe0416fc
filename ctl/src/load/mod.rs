//! `outboxctl load`: writes at a fixed rate.

mod arrival;
mod cast;
mod drive;
mod mix;
mod report;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::Timestamp;
use shared::process::MysqlSettings;
use tokio::sync::mpsc;

use self::cast::Cast;
use self::drive::{Schedule, drive};
use self::mix::Mix;
use self::report::Report;
use crate::rest::{RestClient, RestError};
use crate::servers;
use crate::settings::ApiSettings;
use crate::terminal::Terminal;

/// Write at a fixed rate and show how long the answers and the rows took.
///
/// An open loop: requests start when they are due, however slow the earlier ones are,
/// and latency counts from then on. About 20 answers a second are followed into MySQL,
/// whose rows are looked for every 2 ms. Requests are not repeated.
///
/// Exit code 0: all were answered with 2xx and all that were followed arrived. 1: not so.
#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    api: ApiSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    /// Requests a second.
    #[arg(long, default_value_t = 50.0, value_parser = parse_rate)]
    rate: f64,

    /// Seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,

    /// Shares of the domains: a post or an order is created, a product, user or supplier
    /// edited.
    #[arg(long, default_value = "post=4,order=3,product=2,user=1", value_name = "DOMAIN=SHARE,…")]
    mix: Mix,

    /// Requests under way at a time, at most. Those that must wait for it are late, and
    /// their latency says so.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    in_flight: u16,

    /// Number that the requests grow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.01 to 100000".to_owned()),
    }
}

/// Answers waiting to be followed; more are let go.
const FOLLOWED: usize = 1_024;
/// For an API that is away while the load is prepared.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Rest(#[from] RestError),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

/// # Errors
/// Where the load cannot be prepared, or stdout refuses the result.
pub async fn run(
    args: LoadArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, LoadError> {
    let client = Arc::new(RestClient::new(&args.api.api_url, PATIENCE)?);
    let mut rng = StdRng::seed_from_u64(args.seed);
    let run = format!("{:x}", Timestamp::now().millis());
    let cast = Cast::gather(&client, &mut rng, &run).await?;

    let schedule = Schedule {
        rate: args.rate,
        // Bounded by the ranges of both: far below where an f64 loses integers.
        total: (args.rate * args.duration as f64).ceil() as usize,
        in_flight: usize::from(args.in_flight),
        seed: args.seed,
        mix: args.mix,
    };
    let progress = terminal.progress(schedule.total as u64);
    let (follow, followed) = mpsc::channel(FOLLOWED);
    let watching = tokio::spawn(arrival::watch(servers::mysql(&args.mysql), followed));
    let started = Instant::now();
    let samples = drive(schedule, client, &cast, &follow, &progress).await;
    let took = started.elapsed();
    drop(follow);
    progress.note("waiting for the last rows".to_owned());
    let arrivals = match watching.await {
        Ok(Ok(arrivals)) => Some(arrivals),
        Ok(Err(error)) => {
            tracing::warn!(%error, "MySQL could not be asked");
            None
        }
        Err(_) => None,
    };
    progress.finish();
    let report = Report::new(args.rate, took, &samples, arrivals);
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.all_succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

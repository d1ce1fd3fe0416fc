//! `outboxctl verify`: MongoDB against MySQL, both directions, field by field.
//!
//! A pass walks both sides of every table, ordered by id, in pages, several ranges at a
//! time, and notes the ids that seem to differ. Those are then looked at again, with
//! fresh reads, for as long as an event of theirs is on its way; what differs in the
//! last look is reported. Memory does not grow with the number of documents; with each
//! difference it grows by 64 bytes, up to the number of differences after which a
//! comparison ends early.

mod behind;
mod compare;
mod examine;
mod merge;
mod projected;
mod range;
mod repair;
mod replica;
mod report;
mod rewound;
mod shape;
mod source;
mod suspicion;
mod text;
mod verifier;
mod watch;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use mongodb::Database;
use rdkafka::error::KafkaError;
use shared::process::{GroupSettings, KafkaSettings, MongoSettings, MysqlSettings, RetryPolicy};

#[cfg(test)]
pub use self::compare::compare;
pub use self::examine::{BATCH, Finding, examine};
pub use self::projected::Source;
pub use self::replica::Rows;
pub use self::shape::Shape;
pub use self::source::Documents;
use self::verifier::{Compared, Patience, Verifier};
use crate::rewrite::Rewriter;
use crate::servers;
use crate::terminal::Terminal;

/// Compare every MongoDB document with its MySQL rows, field by field.
///
/// Both directions, all seven tables, timestamps at millisecond precision. Users
/// and posts keep their row when deleted; deleted products and removed suppliers
/// must have none. A living product whose supplier is gone may have no supplier
/// in MySQL, or an empty row in its place.
///
/// Writes may go on meanwhile. What differs is looked at again, and counts only once
/// no event of it is on its way any more.
///
/// Exit code 0: equal. 1: they differ. 2: they could not be compared.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    #[command(flatten)]
    kafka: KafkaSettings,

    #[command(flatten)]
    group: GroupSettings,

    /// Seconds to look again at what differs before it counts, whatever its cause, and
    /// to wait for a server that is away. Without it: at most 60, and only while an
    /// event that may mend it is on its way.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// How many ranges of ids to compare at a time. Each takes some 5 MB of memory.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u16).range(1..=64), value_name = "N")]
    parallel: u16,

    /// How many differences of each table to show in full.
    #[arg(long, default_value_t = 10, value_name = "N")]
    first: usize,

    /// End the comparison once so many seem to differ: a replica that lacks everything is
    /// filled again by `outboxctl replay`, and needs no list. --repair mends so many at a time.
    #[arg(long, default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=10_000_000), value_name = "N")]
    most: u32,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    /// Write the documents that differ again, each under a new version and with an event
    /// in the same transaction, so that the pipeline mends their rows; then look whether
    /// it did. Waits first until the projectors have read what the topics hold: a new version
    /// must outrank what readers have seen. A row without a document is taken away if its domain has an event for that.
    #[arg(long, conflicts_with = "watch")]
    repair: bool,

    /// Compare for ever, and show the outcome of the latest comparison as metrics.
    #[arg(long)]
    watch: bool,

    /// Seconds from the end of a comparison to the next.
    #[arg(long, default_value_t = 300, requires = "watch", value_name = "SECONDS")]
    every: u64,

    /// Where --watch serves /live, /ready and /metrics.
    #[arg(long, env = "VERIFY_ADDR", default_value = "0.0.0.0:9103")]
    addr: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("MongoDB cannot be read: {}", servers::explain(.0))]
    Mongodb(#[from] mongodb::error::Error),
    #[error("MySQL cannot be read: {0}")]
    Mysql(#[from] mysql_async::Error),
    #[error("Kafka cannot be read: {0}")]
    Kafka(#[from] KafkaError),
    #[error("nothing repaired: the projectors have {0} records still to read; do they run?")]
    Behind(u64),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("a bug: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

pub const DIFFERENT: u8 = 1;
pub const NOT_COMPARED: u8 = 2;

/// Longer than any lag of a pipeline that runs.
const LAG: Duration = Duration::from_secs(60);

/// # Errors
/// [`VerifyError`]: the two could not be compared.
pub async fn run(
    args: VerifyArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, VerifyError> {
    let mongodb = servers::mongodb(&args.mongodb).await?;
    let progress = terminal.progress(0);
    let verifier = Verifier {
        documents: Documents::new(mongodb.clone()),
        rows: Rows::new(servers::mysql(&args.mysql)),
        progress: progress.clone(),
        first: args.first,
        parallel: args.parallel.into(),
        most: args.most as usize,
    };
    let patience = args
        .wait
        .map_or(Patience::OnItsWay(LAG), |seconds| Patience::Any(Duration::from_secs(seconds)));
    if args.watch {
        return watch::run(&verifier, patience, Duration::from_secs(args.every), args.addr).await;
    }
    let compared = match args.repair {
        true => {
            match behind::await_projectors(&args.kafka, &args.group, &progress, patience).await {
                Ok(()) => {
                    repair_all(&verifier, &Rewriter::new(mongodb.clone()), &mongodb, patience).await
                }
                Err(error) => Err(error),
            }
        }
        false => patiently(&verifier, patience).await,
    };
    progress.finish();
    let report = compared?.report;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// Repairs what differs, as many at a time as a comparison lists, until nothing differs or
/// what was repaired differs still.
async fn repair_all(
    verifier: &Verifier,
    rewriter: &Rewriter,
    mongodb: &Database,
    patience: Patience,
) -> Result<Compared, VerifyError> {
    let note = rewound::noted(mongodb).await?;
    let compared = repair_while_more(verifier, rewriter, patience).await?;
    if let Some(note) = note.filter(|_| compared.report.outranks_rows()) {
        rewound::repaired(mongodb, &note).await?;
    }
    Ok(compared)
}

async fn repair_while_more(
    verifier: &Verifier,
    rewriter: &Rewriter,
    patience: Patience,
) -> Result<Compared, VerifyError> {
    loop {
        let compared = patiently(verifier, patience).await?;
        if compared.report.clean {
            return Ok(compared);
        }
        let more = compared.report.more;
        let repaired = repair::repair(verifier, rewriter, compared).await?;
        if !more || !repaired.report.clean {
            return Ok(repaired);
        }
    }
}

/// Tries again what a server that is away, or not yet filled, has cut short.
async fn patiently(verifier: &Verifier, patience: Patience) -> Result<Compared, VerifyError> {
    let Patience::Any(longest) = patience else {
        return verifier.verify(patience).await;
    };
    let deadline = Instant::now() + longest;
    let mut pauses = AGAIN.waits();
    let mut told = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match verifier.verify(Patience::Any(left)).await {
            Err(error) if Instant::now() < deadline => error.to_string(),
            outcome => return outcome,
        };
        if error != told {
            tracing::warn!(error, "not compared yet: trying again");
            told = error;
        }
        tokio::time::sleep(pauses.next().unwrap_or(AGAIN.max)).await;
    }
}

/// Between two looks.
const AGAIN: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(2) };

//! `outboxctl verify`: MongoDB against MySQL, both directions, field by field.
//!
//! A pass walks both sides of every table, ordered by id, in pages, and notes the
//! ids that seem to differ. Those are then looked at again, with fresh reads, once
//! or until `--wait` has passed; what differs in the last look is reported. Memory
//! grows with the number of differences, not with the number of documents.

mod compare;
mod examine;
mod merge;
mod projected;
mod replica;
mod report;
mod shape;
mod source;
mod text;
mod verifier;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use shared::process::{MongoSettings, MysqlSettings, RetryPolicy};

use self::replica::Rows;
use self::report::Report;
use self::source::Documents;
use self::verifier::Verifier;
use crate::servers;
use crate::terminal::Terminal;

/// Compare every MongoDB document with its MySQL rows, field by field.
///
/// Both directions, all seven tables, timestamps at millisecond precision. Users
/// and posts keep their row when deleted; deleted products and removed suppliers
/// must have none. A living product whose supplier is gone may have no supplier
/// in MySQL, or an empty row in its place.
///
/// Exit code 0: equal. 1: they differ. 2: they could not be compared.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    /// Seconds to look again at what differs before it counts, as writes that are
    /// still on their way make momentary differences; and to wait for a server that
    /// is away.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,

    /// How many differences of each table to show in full.
    #[arg(long, default_value_t = 10, value_name = "N")]
    first: usize,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("MongoDB cannot be read: {}", servers::explain(.0))]
    Mongodb(#[from] mongodb::error::Error),
    #[error("MySQL cannot be read: {0}")]
    Mysql(#[from] mysql_async::Error),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

pub const DIFFERENT: u8 = 1;
pub const NOT_COMPARED: u8 = 2;

/// # Errors
/// [`VerifyError`]: the two could not be compared.
pub async fn run(
    args: VerifyArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, VerifyError> {
    let documents = Documents::new(servers::mongodb(&args.mongodb).await?);
    let progress = terminal.progress(0);
    let verifier = Verifier {
        documents,
        rows: Rows::new(servers::mysql(&args.mysql)),
        progress: &progress,
        first: args.first,
    };
    let report = patiently(&verifier, Duration::from_secs(args.wait)).await;
    progress.finish();
    let report = report?;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.clean { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// Tries again what a server that is away, or not yet filled, has cut short.
async fn patiently(verifier: &Verifier<'_>, wait: Duration) -> Result<Report, VerifyError> {
    let deadline = Instant::now() + wait;
    let mut pauses = AGAIN.waits();
    let mut told = String::new();
    loop {
        let error = match verifier.verify(deadline).await {
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

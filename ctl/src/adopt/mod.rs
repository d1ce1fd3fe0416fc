//! `outboxctl adopt`: documents that no event tells of.
//!
//! There is nothing to remember between two runs: a document that was adopted has a
//! version and an event, and is passed by the next time. So it can be stopped or killed
//! at any moment and begun again.

mod pages;
mod report;
mod users;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use shared::process::{MongoSettings, MysqlSettings};

use self::pages::Adoption;
use self::report::Report;
use crate::rewrite::Rewriter;
use crate::servers;
use crate::terminal::Terminal;
use crate::verify::{Documents, Rows};

/// Take over a database of the Python system in place, and documents that somebody wrote
/// around the API.
///
/// Users move from `User` to `users`. Every document without a version gets one, and an
/// event in the same transaction; so does one whose row in MySQL differs while no event
/// of it is on its way. Password hashes stay as they are. Writes may go on meanwhile, and
/// the command can be stopped and repeated at any time. Afterwards `outboxctl verify` is
/// clean as soon as the pipeline has brought the events to MySQL.
///
/// Exit code 0: all have their event. 1: some could not be adopted; they are listed.
/// 2: a server could not be reached.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    /// Seconds to wait at the end for events that were on their way already, to see
    /// whether they explain what differs.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,

    /// How many of those that could not be adopted to name.
    #[arg(long, default_value_t = 10, value_name = "N")]
    first: usize,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("MongoDB: {}", servers::explain(.0))]
    Mongodb(#[from] mongodb::error::Error),
    #[error("MySQL: {0}")]
    Database(#[from] projector::database::DatabaseError),
    #[error(transparent)]
    Compare(#[from] crate::verify::VerifyError),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

pub const NOT_REACHED: u8 = 2;

/// # Errors
/// [`AdoptError`]; what was adopted before it stays adopted.
pub async fn run(
    args: AdoptArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, AdoptError> {
    // The comparison needs the tables, even if no projector has ever run.
    projector::database::prepare(&args.mysql).await?;
    let mongodb = servers::mongodb(&args.mongodb).await?;
    let rewriter = Rewriter::new(mongodb.clone());
    rewriter.prepare().await?;
    let mut report = Report::new(args.first);
    let progress = terminal.progress(0);
    progress.stage("users");
    users::take_over(&mongodb, &mut report).await?;
    let mut adoption = Adoption {
        documents: Documents::new(mongodb),
        rows: Rows::new(servers::mysql(&args.mysql)),
        rewriter,
        progress: progress.clone(),
        report,
        waiting: Vec::new(),
    };
    let adopted = adoption.run(Instant::now() + Duration::from_secs(args.wait)).await;
    progress.finish();
    adopted?;
    let report = adoption.report;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `outboxctl replay`: MySQL rebuilt.

mod document;
mod documents;
mod leftover;
mod rebuild;
mod topics;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use projector::rebuild::SameVersion;
use projector::tables::ProgressRow;
use rdkafka::error::KafkaError;
use shared::event::Domain;
use shared::process::{GroupSettings, KafkaSettings, MongoSettings, MysqlSettings};

use self::documents::Documents;
use self::rebuild::{Outcome, Rebuild};
use crate::servers;
use crate::terminal::Terminal;

/// Rebuild MySQL from MongoDB or from the topics.
///
/// Everything goes through the projector's own guards, so a row never turns older,
/// nothing that was deleted comes back, and it can be repeated at any time, also beside
/// another replay. Tables that are missing are created.
///
/// From MongoDB, rows whose document is gone are removed. A
/// server that goes away on the way is waited for, up to five minutes.
///
/// Exit code 0: done. 1: some documents have no row; they are listed.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Where the rows shall come from.
    #[arg(long, value_enum, default_value_t = From::Mongodb)]
    from: From,

    /// Write rows again that have the version of their document already, and keep their
    /// event: for a column that is new, a mapping that was wrong, rows that were changed by
    /// hand. No document changes, and no event is written.
    #[arg(long)]
    same_version: bool,

    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    kafka: KafkaSettings,

    #[command(flatten)]
    group: GroupSettings,

    #[command(flatten)]
    mysql: MysqlSettings,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The documents as they are now. Projectors may run, and writes go on. Rows show
    /// the event_id 00000000-0000-0000-0000-000000000000 until their next event.
    Mongodb,
    /// The events from the first on, as long as the topics still hold it. Stop the
    /// projectors first and start them again once this command waits for them. It ends
    /// when they have applied what the topics held when it began.
    Topics,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("MongoDB: {}", servers::explain(.0))]
    Mongodb(#[from] mongodb::error::Error),
    #[error("MySQL: {0}")]
    Mysql(String),
    #[error("MySQL: {0}")]
    Database(#[from] projector::database::DatabaseError),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error(
        "{topic}[{partition}] begins at offset {low}, older events are gone: use --from mongodb"
    )]
    NoLongerThere { topic: String, partition: i32, low: i64 },
    #[error("projectors of group {0} are running: stop them first, or use --from mongodb")]
    GroupIsActive(String),
    #[error(
        "--same-version goes with --from mongodb: an event of an equal version is a repetition"
    )]
    EventsOfTheSameVersion,
    #[error(
        "MongoDB has no document at all, MySQL has rows: they stay, since this is more likely \
         the wrong database (DATABASE_NAME)"
    )]
    NoDocuments,
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// # Errors
/// [`ReplayError`]; what was written before it stays.
pub async fn run(
    args: ReplayArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, ReplayError> {
    match args.from {
        From::Mongodb => from_mongodb(&args, terminal, out).await,
        From::Topics => from_topics(args, terminal, out).await,
    }
}

async fn from_mongodb(
    args: &ReplayArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, ReplayError> {
    projector::database::prepare(&args.mysql).await?;
    let progress = terminal.progress(0);
    let documents = Documents::new(servers::mongodb(&args.mongodb).await?);
    progress.restart_at_about(documents.estimate().await?);
    let same_version = if args.same_version { SameVersion::Refill } else { SameVersion::Keep };
    let mut rebuild = Rebuild {
        documents,
        mysql: &args.mysql,
        same_version,
        progress: &progress,
        outcome: Outcome::default(),
        writer: None,
    };
    let finished = match rebuild.run().await {
        Ok(()) => rebuild.remove_leftovers().await,
        Err(error) => Err(error),
    };
    progress.finish();
    finished?;
    tell(&rebuild.outcome, out)?;
    Ok(if rebuild.outcome.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(outcome: &Outcome, out: &mut impl Write) -> std::io::Result<()> {
    for (document, reason) in &outcome.named {
        writeln!(out, "{document}: {reason}")?;
    }
    let unnamed = outcome.refused - outcome.named.len() as u64;
    if unnamed > 0 {
        writeln!(out, "and {unnamed} more")?;
    }
    if outcome.removed > 0 {
        writeln!(out, "{} rows removed, whose documents are gone", outcome.removed)?;
    }
    writeln!(out, "{} documents read, {} refused", outcome.documents, outcome.refused)
}

async fn from_topics(
    args: ReplayArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, ReplayError> {
    if args.same_version {
        return Err(ReplayError::EventsOfTheSameVersion);
    }
    let (kafka, group) = (args.kafka.clone(), args.group.kafka_group_id.clone());
    let rewinding = tokio::task::spawn_blocking(move || topics::rewind(&kafka, &group));
    let ends = rewinding.await.unwrap_or(Err(KafkaError::Canceled.into()))?;
    // Where reading begins is MySQL's to say: without progress, at the beginning.
    let mut mysql = projector::database::connect(&args.mysql).await?;
    let topics = Domain::ALL.map(|domain| args.kafka.topic(domain.topic()));
    let forgotten = ProgressRow::forget_all(&mut mysql, &topics).await;
    forgotten.map_err(projector::database::DatabaseError::from)?;
    let progress = terminal.progress(0);
    let followed = topics::follow(&args.kafka, &args.group.kafka_group_id, ends, &progress).await;
    progress.finish();
    followed?;
    writeln!(out, "all events applied that the topics held at the start")?;
    Ok(ExitCode::SUCCESS)
}

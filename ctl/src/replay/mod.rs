//! `outboxctl replay`: MySQL rebuilt.

mod document;
mod documents;
mod topics;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rdkafka::error::KafkaError;
use shared::process::{GroupSettings, KafkaSettings, MongoSettings, MysqlSettings};

use self::documents::Rebuild;
use crate::servers;
use crate::terminal::Terminal;

/// Rebuild MySQL from MongoDB or from the topics.
///
/// Everything goes through the projector's own guards, so a row never turns older,
/// nothing that was deleted comes back, and it can be repeated at any time. Tables
/// that are missing are created.
///
/// Exit code 0: done. 1: some documents have no row; they are listed.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Where the rows shall come from.
    #[arg(long, value_enum, default_value_t = From::Mongodb)]
    from: From,

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
    /// projectors first and start them again once this command waits for them.
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
    let mongodb = servers::mongodb(&args.mongodb).await?;
    let mut rebuild = Rebuild::new(mongodb, &args.mysql, &progress);
    progress.restart(rebuild.count().await?);
    let finished = rebuild.run().await;
    progress.finish();
    finished?;
    let outcome = rebuild.outcome;
    for (document, reason) in &outcome.refused {
        writeln!(out, "{document}: {reason}")?;
    }
    let refused = outcome.refused.len();
    writeln!(out, "{} documents read, {refused} refused", outcome.documents)?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn from_topics(
    args: ReplayArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, ReplayError> {
    let (kafka, group) = (args.kafka.clone(), args.group.kafka_group_id.clone());
    let rewinding = tokio::task::spawn_blocking(move || topics::rewind(&kafka, &group));
    rewinding.await.unwrap_or(Err(KafkaError::Canceled.into()))?;
    let progress = terminal.progress(0);
    let followed = topics::follow(&args.kafka, &args.group.kafka_group_id, &progress).await;
    progress.finish();
    followed?;
    writeln!(out, "all events applied")?;
    Ok(ExitCode::SUCCESS)
}

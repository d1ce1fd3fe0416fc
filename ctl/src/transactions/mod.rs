//! `outboxctl transactions`: Kafka transactions that hold readers back.

mod cluster;
mod coordinators;
mod decision;
mod finish;
mod history;
mod list;
mod marker;
mod producers;
mod record;
mod survey;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};
use projector::dead_letter;
use rdkafka::error::KafkaError;
use shared::event::Domain;
use shared::process::KafkaSettings;

use self::cluster::Cluster;
use self::decision::Outcome;
use self::survey::Surveyor;
use self::wire::{Brokers, NotSupported, Transport};

/// Find transactions that hang, and end them.
///
/// A transaction that nobody ends holds back every read_committed reader of its partition:
/// the projector, and a relay that starts. An open one is no fault: its producer ends it, or
/// its coordinator does after the transaction's timeout. One that hangs stays: for its
/// coordinator it is over, and the marker that would say so is missing in the partition.
#[derive(Debug, Args)]
pub struct TransactionsArgs {
    #[command(flatten)]
    kafka: KafkaSettings,

    /// The relay's checkpoint topic. KAFKA_TOPIC_PREFIX goes before it.
    #[arg(
        long,
        env = "RELAY_CHECKPOINT_TOPIC",
        default_value = "outbox-relay-checkpoint",
        help_heading = "Kafka"
    )]
    checkpoint_topic: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the open transactions, and say of each whether it hangs.
    ///
    /// Exit code 0: none hangs; 1: one does; 2: not everything could be looked at.
    List {
        /// Look at every topic of the cluster, not only at this pipeline's.
        #[arg(long)]
        all_topics: bool,

        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Write the missing marker of a transaction that hangs, with the outcome that its
    /// coordinator had decided.
    ///
    /// A live transaction is never touched. Exit code 0: what was asked for does not hang any
    /// more; 1: something was refused; 2: not everything could be looked at.
    Finish(Finish),
}

#[derive(Debug, Args)]
struct Finish {
    /// Topic, by its whole name on the cluster.
    #[arg(long, requires = "partition", required_unless_present = "all_hanging")]
    topic: Option<String>,

    #[arg(long, requires = "topic")]
    partition: Option<i32>,

    /// All that hang in this pipeline's topics.
    #[arg(long, conflicts_with_all = ["topic", "partition", "outcome"])]
    all_hanging: bool,

    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,

    /// What to write if it cannot be found out what the coordinator had decided.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
}

/// Something hangs, or was refused.
const HANGS: u8 = 1;
/// Not everything could be looked at, so nothing is known for certain.
pub const NOT_KNOWN: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum TransactionsError {
    #[error(transparent)]
    Transport(#[from] NotSupported),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// # Errors
/// [`TransactionsError`]; what was ended before it stays so, and was printed.
pub async fn run(
    args: TransactionsArgs,
    out: &mut impl Write,
) -> Result<ExitCode, TransactionsError> {
    let transport = Transport::of(&args.kafka.kafka_transport)?;
    let client_id = format!("{}-outboxctl", args.kafka.kafka_client_id);
    let mut surveyor = Surveyor {
        cluster: Cluster::new(&args.kafka)?,
        brokers: Brokers::new(transport, client_id),
        settings: args.kafka.clone(),
    };
    let ours = pipeline_topics(&args);
    let is_ours = |topic: &str, _: i32| ours.iter().any(|it| it == topic);
    match args.command {
        Command::List { all_topics: true, json } => {
            list::run(surveyor.survey(|_, _| true).await?, json, out)
        }
        Command::List { json, .. } => list::run(surveyor.survey(is_ours).await?, json, out),
        Command::Finish(finish) => match (&finish.topic, finish.partition) {
            (Some(topic), Some(partition)) => {
                let wanted = |it: &str, id| it == topic && id == partition;
                finish::run(&mut surveyor, wanted, &finish, out).await
            }
            (_, _) => finish::run(&mut surveyor, is_ours, &finish, out).await,
        },
    }
}

fn pipeline_topics(args: &TransactionsArgs) -> Vec<String> {
    let events = Domain::ALL.map(Domain::topic);
    let others = [dead_letter::TOPIC, &args.checkpoint_topic];
    events.iter().chain(&others).map(|topic| args.kafka.topic(topic)).collect()
}

/// As RFC 3339, from milliseconds since 1970.
fn moment(millis: i64) -> Option<String> {
    let moment = DateTime::from_timestamp_millis(millis)?;
    Some(moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}

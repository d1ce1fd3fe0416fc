//! `outboxctl dlq`: records that the projector could not apply.

mod actions;
mod letters;
mod print;

use std::io::Write;

use clap::{Args, Subcommand};
use projector::dead_letter::DeadLetter;
use rdkafka::error::KafkaError;
use shared::process::KafkaSettings;

pub use self::letters::{Letters, Place};

/// Look at dead letters, send them back, or drop them.
///
/// A record that can never be applied goes to the topic `dead-letter`, untouched, with
/// the reason; its neighbours are applied. Mend the cause, redrive, then drop.
#[derive(Debug, Args)]
pub struct DlqArgs {
    #[command(flatten)]
    kafka: KafkaSettings,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the letters, the oldest first.
    List {
        #[command(flatten)]
        filter: Filter,

        /// Most to list.
        #[arg(long, default_value_t = 100)]
        limit: usize,

        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one letter with its record; secrets that it may hold are blanked.
    Show {
        /// As `dlq list` shows it: OFFSET, or PARTITION:OFFSET.
        letter: Place,

        /// Write the record's value as it is, untouched and unmasked.
        #[arg(long)]
        raw: bool,
    },
    /// Send records back to the partitions they came from.
    ///
    /// The projector counts each once however often it is sent, and one that fails
    /// again becomes a new letter. The old ones stay until they are dropped.
    Redrive {
        /// Which: as `dlq list` shows them.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        letters: Vec<Place>,

        /// All there are now, of the reason and the topic given.
        #[arg(long)]
        all: bool,

        #[command(flatten)]
        filter: Filter,
    },
    /// Delete letters for good.
    ///
    /// Kafka deletes from the beginning of a partition only: this one and all older ones.
    Drop {
        /// The newest to delete: OFFSET, or PARTITION:OFFSET.
        #[arg(
            long,
            value_name = "LETTER",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        through: Option<Place>,

        /// Delete all there are now.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only those with this reason.
    #[arg(long)]
    reason: Option<String>,

    /// Only those from this topic.
    #[arg(long)]
    topic: Option<String>,
}

impl Filter {
    fn lets_pass(&self, letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, it: &str| wanted.as_ref().is_none_or(|w| w == it);
        is(&self.reason, &letter.reason) && is(&self.topic, &letter.origin_topic)
    }

    fn is_empty(&self) -> bool {
        self.reason.is_none() && self.topic.is_none()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("there is no letter {0}")]
    NoSuchLetter(Place),
    #[error("letter {place}: {reason}")]
    NotALetter { place: Place, reason: String },
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// # Errors
/// [`DlqError`]; what was done before it stays done, and was printed.
pub async fn run(args: DlqArgs, out: &mut impl Write) -> Result<(), DlqError> {
    let kafka = &args.kafka;
    match args.command {
        Command::List { filter, limit, json } => {
            actions::list(kafka, &filter, limit, json, out).await
        }
        Command::Show { letter, raw } => actions::show(kafka, letter, raw, out).await,
        Command::Redrive { letters, all: false, .. } => {
            actions::redrive(kafka, &letters, out).await
        }
        Command::Redrive { filter, .. } => actions::redrive_all(kafka, &filter, out).await,
        Command::Drop { through, .. } => actions::drop_letters(kafka, through, out).await,
    }
}

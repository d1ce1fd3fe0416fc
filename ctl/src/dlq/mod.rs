//! `outboxctl dlq`: records that the projector could not apply.

mod letters;
mod print;

use std::io::Write;

use clap::{Args, Subcommand};
use projector::dead_letter::{DeadLetter, TOPIC, redrive_producer};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::KafkaSettings;

use self::letters::{Letters, Place};
use crate::servers;

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
        Command::List {
            filter,
            limit,
            json,
        } => list(kafka, &filter, limit, json, out).await,
        Command::Show { letter, raw } => show(kafka, letter, raw, out).await,
        Command::Redrive {
            letters,
            all: false,
            ..
        } => redrive(kafka, &letters, out).await,
        Command::Redrive { filter, .. } => redrive_all(kafka, &filter, out).await,
        Command::Drop { through, .. } => drop_letters(kafka, through, out).await,
    }
}

async fn list(
    kafka: &KafkaSettings,
    filter: &Filter,
    limit: usize,
    json: bool,
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let mut letters = Letters::all(kafka).await?;
    let mut table = print::table();
    let mut listed = 0;
    while let Some((place, letter)) = letters.next().await? {
        let passes = letter
            .as_ref()
            .map_or(filter.is_empty(), |it| filter.lets_pass(it));
        if !passes {
            continue;
        }
        if listed == limit {
            tracing::warn!(limit, "there are more letters: see --limit");
            break;
        }
        listed += 1;
        match json {
            true => writeln!(out, "{}", print::json(place, &letter))?,
            false => table.row(print::row(place, &letter)),
        }
    }
    match (json, listed) {
        (true, _) => {}
        (false, 0) => writeln!(out, "no dead letters")?,
        (false, _) => write!(out, "{table}")?,
    }
    Ok(())
}

async fn find(kafka: &KafkaSettings, place: Place) -> Result<DeadLetter, DlqError> {
    match Letters::at(kafka, place).await? {
        None => Err(DlqError::NoSuchLetter(place)),
        Some(letter) => letter.map_err(|error| DlqError::NotALetter {
            place,
            reason: error.to_string(),
        }),
    }
}

async fn show(
    kafka: &KafkaSettings,
    place: Place,
    raw: bool,
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let letter = find(kafka, place).await?;
    match raw {
        true => out.write_all(letter.value.as_deref().unwrap_or_default())?,
        false => print::show(place, &letter, out)?,
    }
    Ok(())
}

async fn redrive(
    kafka: &KafkaSettings,
    places: &[Place],
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let producer = redrive_producer(kafka)?;
    for place in places {
        let letter = find(kafka, *place).await?;
        letter.redrive(&producer).await?;
        writeln!(out, "{place} sent back to {}", letter.origin_topic)?;
    }
    Ok(())
}

async fn redrive_all(
    kafka: &KafkaSettings,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let producer = redrive_producer(kafka)?;
    let mut letters = Letters::all(kafka).await?;
    let mut sent = 0;
    while let Some((place, letter)) = letters.next().await? {
        match letter {
            Ok(letter) if filter.lets_pass(&letter) => {
                letter.redrive(&producer).await?;
                sent += 1;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(letter = %place, %error, "left where it is"),
        }
    }
    writeln!(out, "{sent} sent back")?;
    Ok(())
}

async fn drop_letters(
    kafka: &KafkaSettings,
    through: Option<Place>,
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let mut before = TopicPartitionList::new();
    match through {
        Some(place) => {
            find(kafka, place).await?;
            let after = Offset::Offset(place.offset + 1);
            before.add_partition_offset(&kafka.topic(TOPIC), place.partition, after)?;
        }
        None => {
            for (partition, end) in Letters::all(kafka).await?.ends() {
                let end = Offset::Offset(end);
                before.add_partition_offset(&kafka.topic(TOPIC), partition, end)?;
            }
        }
    }
    if before.count() == 0 {
        writeln!(out, "no dead letters")?;
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = servers::kafka(kafka).create()?;
    let options = AdminOptions::new().operation_timeout(Some(servers::PATIENCE));
    for partition in admin.delete_records(&before, &options).await?.elements() {
        partition.error()?;
        writeln!(
            out,
            "partition {}: all before {:?} dropped",
            partition.partition(),
            partition.offset()
        )?;
    }
    Ok(())
}

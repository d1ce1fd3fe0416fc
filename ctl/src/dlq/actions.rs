use std::io::Write;

use projector::dead_letter::{DeadLetter, TOPIC, redrive_producer};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::KafkaSettings;

use super::letters::{Letters, Place};
use super::{DlqError, Filter, print};
use crate::servers;

pub async fn list(
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
        let passes = letter.as_ref().map_or(filter.is_empty(), |it| filter.lets_pass(it));
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
        Some(letter) => {
            letter.map_err(|error| DlqError::NotALetter { place, reason: error.to_string() })
        }
    }
}

pub async fn show(
    kafka: &KafkaSettings,
    place: Place,
    raw: bool,
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let letter = find(kafka, place).await?.whole(kafka).await?;
    match raw {
        true => out.write_all(letter.value.as_deref().unwrap_or_default())?,
        false => print::show(place, &letter, out)?,
    }
    Ok(())
}

pub async fn redrive(
    kafka: &KafkaSettings,
    places: &[Place],
    out: &mut impl Write,
) -> Result<(), DlqError> {
    let producer = redrive_producer(kafka)?;
    for place in places {
        let letter = find(kafka, *place).await?.whole(kafka).await?;
        letter.redrive(&producer).await?;
        writeln!(out, "{place} sent back to {}", letter.origin_topic)?;
    }
    Ok(())
}

pub async fn redrive_all(
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
                letter.whole(kafka).await?.redrive(&producer).await?;
                sent += 1;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(letter = %place, %error, "left where it is"),
        }
    }
    writeln!(out, "{sent} sent back")?;
    Ok(())
}

pub async fn drop_letters(
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

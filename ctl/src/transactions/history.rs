//! `__transaction_state`, read like any other topic: what the coordinators had decided.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::KafkaSettings;

use super::decision::{Evidence, Question};
use super::record::{Unreadable, decode};
use crate::servers::{self, PATIENCE};

/// The coordinators' log.
pub const LOG: &str = "__transaction_state";

/// Without any record for so long, something is wrong with the cluster.
const STUCK: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error("{LOG} cannot be read: {0}")]
    Kafka(#[from] KafkaError),
    #[error("{LOG} cannot be read: no record for {} s", STUCK.as_secs())]
    Stuck,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("{LOG} cannot be read: the work was interrupted")]
    Interrupted,
}

/// Gathers the evidence for each question, in one pass over the log. If the transactional
/// ids of all are known, only their partitions are read.
///
/// # Errors
/// [`NotRead`], for instance if the account may not read the topic.
pub async fn gather(
    settings: &KafkaSettings,
    questions: Vec<Question>,
    ids: Option<BTreeSet<String>>,
) -> Result<Vec<Evidence>, NotRead> {
    let settings = settings.clone();
    let reading = tokio::task::spawn_blocking(move || read(&settings, &questions, ids.as_ref()));
    reading.await.unwrap_or(Err(NotRead::Interrupted))
}

fn read(
    settings: &KafkaSettings,
    questions: &[Question],
    ids: Option<&BTreeSet<String>>,
) -> Result<Vec<Evidence>, NotRead> {
    let consumer: BaseConsumer = servers::kafka(settings)
        .set("group.id", "outboxctl")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut ends = assign(&consumer, ids)?;
    let mut evidence: Vec<_> = questions.iter().map(|_| Evidence::default()).collect();
    let mut heard = Instant::now();
    while !ends.is_empty() {
        let left = STUCK.saturating_sub(heard.elapsed());
        let message = match consumer.poll(left) {
            None if left.is_zero() => return Err(NotRead::Stuck),
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.retain(|(it, _)| *it != partition);
                continue;
            }
            Some(message) => message?,
        };
        heard = Instant::now();
        let (partition, next) = (message.partition(), message.offset() + 1);
        if let Some(entry) = decode(message.key().unwrap_or_default(), message.payload())? {
            for (question, evidence) in questions.iter().zip(&mut evidence) {
                evidence.add(question, &entry);
            }
        }
        ends.retain(|(it, end)| *it != partition || next < *end);
    }
    Ok(evidence)
}

/// Returns the partitions that are to be read, and where each ends now.
fn assign(
    consumer: &BaseConsumer,
    ids: Option<&BTreeSet<String>>,
) -> Result<Vec<(i32, i64)>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(LOG), PATIENCE)?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
    let of = |id: &String| partition_of(id, partitions.len());
    let wanted: Option<BTreeSet<i32>> = ids.map(|ids| ids.iter().map(of).collect());
    let mut assignment = TopicPartitionList::new();
    let mut ends = Vec::new();
    for partition in partitions {
        if wanted.as_ref().is_some_and(|it| !it.contains(&partition)) {
            continue;
        }
        let (low, high) = consumer.fetch_watermarks(LOG, partition, PATIENCE)?;
        if low < high {
            assignment.add_partition_offset(LOG, partition, Offset::Offset(low))?;
            ends.push((partition, high));
        }
    }
    consumer.assign(&assignment)?;
    Ok(ends)
}

/// As Kafka does: by Java's hash of the text, of which the most negative number counts as 0.
fn partition_of(transactional_id: &str, partitions: usize) -> i32 {
    let hash = transactional_id
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    let count = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    hash.checked_abs().unwrap_or(0) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_partition_that_the_brokers_give_it() {
        // From a broker's own log, of four partitions.
        assert_eq!(partition_of("outbox-relay", 4), 3);
        assert_eq!(partition_of("outbox-relay-alternate", 4), 2);
        // Java: "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }
}

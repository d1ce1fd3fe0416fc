//! Reads topics up to what is committed in them now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use shared::process::Shutdown;

use crate::kafka::Watch;
use crate::landing::Ends;

/// Without any progress for so long, something is wrong with the cluster.
const PATIENCE: Duration = Duration::from_secs(30);
/// A poll returns at least this often, to see whether the process shall stop.
const SLICE: Duration = Duration::from_millis(100);

/// Why an end was not reached. All of it passes with time.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("no progress in {PATIENCE:?} reading {0}")]
    Stuck(String),
    #[error("a topic was made anew, or has lost records")]
    Shrunk,
    #[error("shutting down")]
    Stopped,
    #[error("a bug: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Hands `each` the records of `topic` from the offsets of `from` on, to the end of each
/// of these partitions, or at least to that in `ends`: where others write all the time an
/// end of its own is never reached. `consumer` is one of [`crate::kafka::reader_config`]. Blocks.
///
/// # Errors
/// [`NotRead`], and the first error of `each`.
pub fn read_to_end<E: From<NotRead>>(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    from: &TopicPartitionList,
    ends: &Ends,
    stop: &Shutdown,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut unread: BTreeSet<i32> =
        from.elements().iter().map(|element| element.partition()).collect();
    if unread.is_empty() {
        return Ok(());
    }
    let of_topic = ends.iter().filter(|(place, _)| place.topic == topic);
    let known: BTreeMap<i32, i64> = of_topic.map(|(place, end)| (place.partition, *end)).collect();
    consumer.assign(from).map_err(NotRead::from)?;
    let mut deadline = Instant::now() + PATIENCE;
    while !unread.is_empty() {
        if stop.is_cancelled() {
            return Err(NotRead::Stopped.into());
        }
        match consumer.poll(SLICE) {
            None if Instant::now() > deadline => {
                return Err(NotRead::Stuck(topic.to_owned()).into());
            }
            None => continue,
            Some(Ok(record)) => {
                each(&record)?;
                if known.get(&record.partition()).is_some_and(|end| record.offset() + 1 >= *end) {
                    unread.remove(&record.partition());
                }
            }
            // Said whenever all that is committed there has been read: again and again where
            // others write meanwhile.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => return Err(NotRead::from(error).into()),
        }
        deadline = Instant::now() + PATIENCE;
    }
    Ok(consumer.unassign().map_err(NotRead::from)?)
}

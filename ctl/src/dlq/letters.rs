//! The dead-letter topic, read from its beginning to where it ended when asked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use projector::dead_letter::{DeadLetter, NotADeadLetter, TOPIC};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::KafkaSettings;
use tokio::time::timeout;

use crate::servers::{self, PATIENCE};

/// Without any letter for so long, something is wrong with the cluster.
const STUCK: Duration = Duration::from_secs(30);

/// Where a letter lies in the dead-letter topic: `PARTITION:OFFSET`, or `OFFSET` alone
/// for partition 0, the only one unless somebody made the topic by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

/// A message of the topic, or what is wrong with it.
pub type Letter = Result<DeadLetter, NotADeadLetter>;

pub struct Letters {
    consumer: StreamConsumer,
    /// Of the partitions not yet read to the end: where that is.
    ends: BTreeMap<i32, i64>,
}

impl Letters {
    /// All letters, each partition from its oldest.
    ///
    /// # Errors
    /// Where the brokers do not answer. A topic that does not exist is empty.
    pub async fn all(kafka: &KafkaSettings) -> KafkaResult<Self> {
        Self::open(kafka, None).await
    }

    /// The letter at `place`, if there is one.
    ///
    /// # Errors
    /// Where the brokers do not answer.
    pub async fn at(kafka: &KafkaSettings, place: Place) -> KafkaResult<Option<Letter>> {
        let found = Self::open(kafka, Some(place)).await?.next().await?;
        Ok(found.filter(|(found, _)| *found == place).map(|(_, letter)| letter))
    }

    async fn open(kafka: &KafkaSettings, only: Option<Place>) -> KafkaResult<Self> {
        let consumer: StreamConsumer = servers::kafka(kafka)
            // `assign` wants a group's name although no group is ever joined.
            .set("group.id", "outboxctl")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()?;
        let topic = kafka.topic(TOPIC);
        let opening = tokio::task::spawn_blocking(move || assign(consumer, &topic, only));
        opening.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The partitions that hold letters, and where each ends.
    pub fn ends(&self) -> impl Iterator<Item = (i32, i64)> {
        self.ends.iter().map(|(partition, end)| (*partition, *end))
    }

    /// # Errors
    /// Where the brokers do not answer for [`STUCK`].
    pub async fn next(&mut self) -> KafkaResult<Option<(Place, Letter)>> {
        while !self.ends.is_empty() {
            let received = timeout(STUCK, receive(&self.consumer)).await;
            let silent = KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown);
            let message = received.map_err(|_| silent)??;
            let (partition, offset) = (message.partition(), message.offset());
            let place = Place { partition, offset };
            let Some(end) = self.ends.get(&partition).copied() else {
                continue;
            };
            if offset + 1 >= end {
                self.ends.remove(&partition);
            }
            if offset < end {
                return Ok(Some((place, DeadLetter::read(&message))));
            }
        }
        Ok(None)
    }
}

async fn receive(consumer: &StreamConsumer) -> KafkaResult<BorrowedMessage<'_>> {
    loop {
        match consumer.recv().await {
            // It looks for the brokers again by itself.
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BrokerTransportFailure)) => {}
            received => return received,
        }
    }
}

fn assign(consumer: StreamConsumer, topic: &str, only: Option<Place>) -> KafkaResult<Letters> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let partition = partition.id();
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        let from = match only {
            None => low,
            Some(place) if place.partition == partition && place.offset >= low => place.offset,
            Some(_) => continue,
        };
        if from < high {
            assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
            ends.insert(partition, high);
        }
    }
    consumer.assign(&assignment)?;
    Ok(Letters { consumer, ends })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            0 => write!(f, "{}", self.offset),
            partition => write!(f, "{partition}:{}", self.offset),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once(':').unwrap_or(("0", text));
        match (partition.parse::<u16>(), offset.parse::<u32>()) {
            (Ok(partition), Ok(offset)) => {
                Ok(Self { partition: partition.into(), offset: offset.into() })
            }
            _ => Err("OFFSET or PARTITION:OFFSET, as `dlq list` shows it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_it_is_written() {
        for (text, partition, offset) in [("7", 0, 7), ("3:41", 3, 41)] {
            let place = Place { partition, offset };
            assert_eq!(text.parse(), Ok(place));
            assert_eq!(place.to_string(), text);
        }
        for text in ["", "-1", "1:2:3", "x", "1:"] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }
}

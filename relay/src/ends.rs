//! How far the partitions of the topics reach: all of them are asked for at once, by one
//! request a broker.

use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::process::Shutdown;

use crate::kafka::Watch;
use crate::landing::{Ends, Place};
use crate::read_to_end::NotRead;

const CALL: Duration = Duration::from_secs(5);
/// Between two looks at what is decided.
const SOON: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(250);
/// While something is undecided, the topics are compared this often with what they were.
const COMPARED: Duration = Duration::from_secs(5);

/// Two readers of the same partitions. Its calls block.
pub struct EndReader {
    uncommitted: BaseConsumer<Watch>,
    committed: BaseConsumer<Watch>,
    places: Vec<Place>,
}

impl EndReader {
    /// `settings` are those of a read_committed reader.
    ///
    /// # Errors
    /// Where Kafka is away.
    pub fn new(
        settings: &ClientConfig,
        watch: &Watch,
        topics: &[String],
    ) -> Result<Self, KafkaError> {
        let mut uncommitted = settings.clone();
        uncommitted.set("isolation.level", "read_uncommitted");
        let uncommitted = BaseConsumer::from_config_and_context(&uncommitted, watch.clone())?;
        let committed = BaseConsumer::from_config_and_context(settings, watch.clone())?;
        let places = places(&committed, topics)?;
        Ok(Self { uncommitted, committed, places })
    }

    /// The read_committed reader, to read with.
    pub fn committed(&self) -> &BaseConsumer<Watch> {
        &self.committed
    }

    /// The end of each partition, records of open transactions included.
    ///
    /// # Errors
    /// Where Kafka is away.
    pub fn written(&self) -> Result<Ends, KafkaError> {
        ask(&self.uncommitted, &self.places, Offset::End)
    }

    /// The offset of each partition up to which all transactions are decided, which is
    /// the first record of an open one, or the end.
    ///
    /// # Errors
    /// Where Kafka is away.
    pub fn decided(&self) -> Result<Ends, KafkaError> {
        ask(&self.committed, &self.places, Offset::End)
    }

    /// The first offset of each partition.
    ///
    /// # Errors
    /// Where Kafka is away.
    pub fn begin(&self) -> Result<Ends, KafkaError> {
        ask(&self.committed, &self.places, Offset::Beginning)
    }

    /// Waits until nothing that is in the topics now is hidden from a read_committed reader,
    /// and returns these ends. An open transaction, perhaps of somebody else, hides all
    /// records behind its first one, ours included. One that does not end is reported by
    /// `held_back.rs`.
    ///
    /// # Errors
    /// [`NotRead`].
    pub fn await_decided(&self, stop: &Shutdown) -> Result<Ends, NotRead> {
        let ends = self.written()?;
        let mut wait = SOON;
        let mut compared = Instant::now();
        while !reaches(&self.decided()?, &ends) {
            if stop.is_cancelled() {
                return Err(NotRead::Stopped);
            }
            if compared.elapsed() > COMPARED {
                compared = Instant::now();
                if !reaches(&self.written()?, &ends) {
                    return Err(NotRead::Shrunk);
                }
            }
            std::thread::sleep(wait);
            wait = (wait * 3 / 2).min(SELDOM);
        }
        Ok(ends)
    }
}

fn reaches(now: &Ends, ends: &Ends) -> bool {
    ends.iter().all(|(place, end)| now.get(place).is_some_and(|now| now >= end))
}

fn places(consumer: &BaseConsumer<Watch>, topics: &[String]) -> Result<Vec<Place>, KafkaError> {
    let mut places = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        places.extend(
            partitions.map(|partition| Place { topic: topic.clone(), partition: partition.id() }),
        );
    }
    Ok(places)
}

/// A request for offsets by time takes the two ends as times, too, and goes by the
/// consumer's isolation level.
fn ask(consumer: &BaseConsumer<Watch>, places: &[Place], end: Offset) -> Result<Ends, KafkaError> {
    if places.is_empty() {
        return Ok(Ends::new());
    }
    let mut wanted = TopicPartitionList::with_capacity(places.len());
    for place in places {
        wanted.add_partition_offset(&place.topic, place.partition, end)?;
    }
    let answer = consumer.offsets_for_times(wanted, CALL)?;
    let mut ends = Ends::new();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let place = Place { topic: element.topic().to_owned(), partition: element.partition() };
            ends.insert(place, offset);
        }
    }
    Ok(ends)
}

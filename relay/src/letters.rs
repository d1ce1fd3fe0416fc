//! How many dead letters lie in Kafka. Offsets cannot tell: the marker of a transaction has
//! one, too, and so has a record that was aborted or compacted away. So the topic is read,
//! each letter once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::watermark::COUNTED_LETTERS;

use crate::kafka::{Client, quiet_log};

/// A count ends here: it means "so many or more".
pub const COUNTED: u64 = COUNTED_LETTERS.unsigned_abs();
const CALL: Duration = Duration::from_secs(5);
/// One look reads for no longer than this, and the next one goes on.
const READING: Duration = Duration::from_secs(5);

/// Counts the records of one topic. Its methods block.
pub struct Letters {
    consumer: Client<BaseConsumer<Quiet>>,
    topic: String,
    read: BTreeMap<i32, Read>,
}

/// What was read of a partition.
#[derive(Debug, Clone, Copy)]
struct Read {
    low: i64,
    /// The offset after the last one that is dealt with.
    to: i64,
    letters: u64,
}

impl Letters {
    /// Connects to nobody yet. `settings` are those of a reader.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn new(settings: &ClientConfig, topic: String) -> Result<Self, KafkaError> {
        let consumer = BaseConsumer::from_config_and_context(settings, Quiet)?;
        Ok(Self { consumer: Client::new(consumer), topic, read: BTreeMap::new() })
    }

    /// Returns [`COUNTED`] for so many or more, and `None` where there is no such topic, or
    /// it is not read to its end yet.
    ///
    /// # Errors
    /// Where Kafka is away, or the account may not read the topic.
    pub fn count(&mut self) -> Result<Option<u64>, KafkaError> {
        let deadline = Instant::now() + READING;
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), CALL)?;
        let topics = metadata.topics().iter();
        let partitions: Vec<i32> =
            topics.flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        if partitions.is_empty() {
            return Ok(None);
        }
        let mut letters = 0;
        for partition in partitions {
            let (low, high) = self.consumer.fetch_watermarks(&self.topic, partition, CALL)?;
            let mut read = match self.read.get(&partition) {
                Some(read) if read.low == low && read.to <= high => *read,
                // Letters were dropped: how many of those that were counted is not known.
                _ => Read { low, to: low, letters: 0 },
            };
            let is_complete = self.go_on(partition, &mut read, high, deadline)?;
            self.read.insert(partition, read);
            letters += read.letters;
            if letters >= COUNTED {
                return Ok(Some(COUNTED));
            }
            if !is_complete {
                return Ok(None);
            }
        }
        Ok(Some(letters))
    }

    /// Reads to `high`; false where there is too much for one look.
    fn go_on(
        &self,
        partition: i32,
        read: &mut Read,
        high: i64,
        deadline: Instant,
    ) -> Result<bool, KafkaError> {
        if read.to >= high {
            return Ok(true);
        }
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.topic, partition, Offset::Offset(read.to))?;
        self.consumer.assign(&from)?;
        let outcome = self.drain(read, high, deadline);
        self.consumer.unassign()?;
        outcome
    }

    fn drain(&self, read: &mut Read, high: i64, deadline: Instant) -> Result<bool, KafkaError> {
        while read.letters < COUNTED {
            match self.consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(letter)) if letter.offset() < high => {
                    read.letters += 1;
                    read.to = letter.offset() + 1;
                }
                // All that is committed below `high` is read.
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => {
                    read.to = high;
                    return Ok(true);
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Whether Kafka is there is for others to say.
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Quiet {}

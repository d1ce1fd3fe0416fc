//! Records once more, out of Kafka: those that a batch forgot and turns out to need.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::KafkaSettings;

use crate::batch::Position;
use crate::kafka::client;
use crate::quiet::Quiet;
use crate::record::{Partition, Record};

/// So much of a partition is in memory at a time.
const RECORDS_A_PIECE: usize = 1_000;
const BYTES_A_PIECE: usize = 1 << 20;

/// Brokers that say nothing for so long are asked anew.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads what lies between two offsets, outside of the group.
#[derive(Clone)]
pub(crate) struct Recall {
    properties: ClientConfig,
}

impl Recall {
    pub(crate) fn new(kafka: &KafkaSettings) -> Self {
        let mut properties = client(kafka);
        properties
            // The library wants one. Nothing is committed, and nobody joins it.
            .set("group.id", "projector-recall")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.max.bytes", "1048576");
        Self { properties }
    }

    /// The next records from `from` to the end of `position`; none once there are none.
    ///
    /// # Errors
    /// Where the brokers do not answer.
    pub(crate) async fn piece(
        &self,
        partition: &Partition,
        position: &Position,
        from: i64,
    ) -> KafkaResult<Vec<Record>> {
        let (recall, partition, to) = (self.clone(), partition.clone(), position.clone());
        let reading = tokio::task::spawn_blocking(move || recall.read(&partition, &to, from));
        // It ends only by a panic, which is logged where it happened.
        reading.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The record at a topic, partition and offset, if it is there.
    ///
    /// # Errors
    /// Where the brokers do not answer.
    pub(crate) async fn one(&self, origin: (&str, i32, i64)) -> KafkaResult<Option<Record>> {
        let (topic, partition, offset) = origin;
        let partition = Partition { topic: topic.into(), partition };
        // Whose events the topic holds does not matter here.
        let position = Position {
            domain: Domain::User,
            after: None,
            first: offset,
            offset,
            event_id: None,
            moment: None,
        };
        let found = self.piece(&partition, &position, offset).await?;
        Ok(found.into_iter().find(|record| record.offset == offset))
    }

    fn read(&self, partition: &Partition, to: &Position, from: i64) -> KafkaResult<Vec<Record>> {
        let mut records = Vec::new();
        if from > to.offset {
            return Ok(records);
        }
        let consumer: BaseConsumer<Quiet> = self.properties.create_with_context(Quiet)?;
        let mut place = TopicPartitionList::new();
        let start = Offset::Offset(from);
        place.add_partition_offset(&partition.topic, partition.partition, start)?;
        consumer.assign(&place)?;
        let (mut bytes, mut heard) = (0, Instant::now());
        while records.len() < RECORDS_A_PIECE && bytes < BYTES_A_PIECE {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() > to.offset => break,
                Some(Ok(message)) => {
                    let record = Record::from_message(&message, to.domain, partition.topic.clone());
                    bytes += record.bytes();
                    let is_last = record.offset == to.offset;
                    records.push(record);
                    heard = Instant::now();
                    if is_last {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                _ if heard.elapsed() < TIMEOUT => {}
                _ => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut)),
            }
        }
        Ok(records)
    }
}

//! Where a record goes that can never be applied: the topic `dead-letter`.
//!
//! A dead letter is the record itself, key, value and headers untouched, followed by
//! the six headers in [`header`]. So it can be read, and sent back where it came from.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use shared::Timestamp;
use shared::process::KafkaSettings;

use crate::kafka::client;
use crate::poison::Poison;
use crate::quiet::Quiet;
use crate::record::{Record, RecordHeaders, headers_of};
use crate::thread::detached;

pub use shared::event::DEAD_LETTER_TOPIC as TOPIC;

/// Added behind the record's own headers, in this order. Decimal or plain text.
pub mod header {
    /// One of the words of [`crate::poison::Reason::as_str`].
    pub const REASON: &str = "reason";
    pub const ERROR: &str = "error";
    pub const ORIGIN_TOPIC: &str = "origin_topic";
    pub const ORIGIN_PARTITION: &str = "origin_partition";
    pub const ORIGIN_OFFSET: &str = "origin_offset";
    /// RFC 3339.
    pub const FAILED_AT: &str = "failed_at";

    pub const ALL: [&str; 6] =
        [REASON, ERROR, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, FAILED_AT];
}

/// A record as large as its own topic took must fit, with what is added to it.
const MAX_MESSAGE_BYTES: &str = "16777216";

/// An error quotes the value it stumbled over; the value itself is there in full.
const MAX_ERROR_CHARS: usize = 1_000;

const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A broker that does not answer in this time is asked again.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The writer of dead letters.
pub struct DeadLetters {
    settings: ClientConfig,
    /// Made for the first letter: its thread takes as much as all else of a projector with
    /// little to do. Made anew once it could not send one: it may have lost its brokers.
    producer: Mutex<Option<FutureProducer<Quiet>>>,
    topic: String,
    replication: i32,
}

impl DeadLetters {
    /// Connects to nobody yet. `replication` is for a topic that has to be created; -1:
    /// as the cluster says.
    ///
    /// # Errors
    /// Where the settings are not usable.
    pub fn new(kafka: &KafkaSettings, replication: i32) -> KafkaResult<Self> {
        let mut config = client(kafka);
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MAX_MESSAGE_BYTES)
            .set("delivery.timeout.ms", SEND_TIMEOUT.as_millis().to_string())
            .set("linger.ms", "0");
        // Names what is wrong with them.
        config.create_native_config()?;
        Ok(Self {
            settings: config,
            producer: Mutex::default(),
            topic: kafka.topic(TOPIC),
            replication,
        })
    }

    /// Creates the topic where it is missing.
    ///
    /// # Errors
    /// Where Kafka cannot be reached or refuses.
    pub async fn ensure_topic(&self) -> KafkaResult<()> {
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(self.replication))
            .set("max.message.bytes", MAX_MESSAGE_BYTES)
            // They wait for a human.
            .set("retention.ms", "-1");
        // Without a timeout of ours a request that is lost on a broker's first seconds is
        // awaited for a minute.
        let options = AdminOptions::new()
            .request_timeout(Some(ADMIN_TIMEOUT))
            .operation_timeout(Some(ADMIN_TIMEOUT));
        // A new one each time: it may be needed because the last one lost its brokers.
        let admin: AdminClient<Quiet> = self.settings.create_with_context(Quiet)?;
        for result in admin.create_topics([&topic], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        Ok(())
    }

    /// Returns once the brokers hold the letter.
    ///
    /// # Errors
    /// Where they do not, or may not; to send it again can only double it.
    pub async fn send(&self, record: &Record, poison: &Poison) -> KafkaResult<()> {
        let headers = headers_with(record, poison);
        let mut letter = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        letter.key = record.key.as_deref();
        letter.payload = record.value.as_deref();
        let producer = self.producer()?;
        match producer.send(letter, Timeout::After(SEND_TIMEOUT)).await {
            Ok(_) => Ok(()),
            Err((error, _)) => {
                self.give_up(producer);
                Err(error)
            }
        }
    }

    fn producer(&self) -> KafkaResult<FutureProducer<Quiet>> {
        let mut made = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*made {
            return Ok(producer.clone());
        }
        let producer: FutureProducer<Quiet> = self.settings.create_with_context(Quiet)?;
        Ok(made.insert(producer).clone())
    }

    fn give_up(&self, producer: FutureProducer<Quiet>) {
        let made = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its end may wait for brokers.
        drop(detached("kafka-drop", move || drop((producer, made))));
    }
}

fn headers_with(record: &Record, poison: &Poison) -> OwnedHeaders {
    let error: String = poison.error.chars().take(MAX_ERROR_CHARS).collect();
    let ours = [
        poison.reason.as_str().to_owned(),
        error,
        record.partition.topic.to_string(),
        record.partition.partition.to_string(),
        record.offset.to_string(),
        Timestamp::now().to_string(),
    ];
    let ours = header::ALL.iter().zip(&ours).map(|(key, value)| (*key, Some(value.as_bytes())));
    owned(record.headers.iter().chain(ours))
}

fn owned<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> OwnedHeaders {
    headers.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value }))
}

/// A dead letter as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its own place in the dead-letter topic.
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    pub error: String,
    pub origin_topic: String,
    pub origin_partition: i32,
    pub origin_offset: i64,
    /// RFC 3339.
    pub failed_at: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The record's own.
    pub headers: RecordHeaders,
}

/// The message does not end in the six headers: no projector wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a dead letter: {0} is missing or malformed")]
pub struct NotADeadLetter(&'static str);

impl DeadLetter {
    /// # Errors
    /// Where the message is no dead letter.
    pub fn read(message: &impl Message) -> Result<Self, NotADeadLetter> {
        let headers = headers_of(message);
        let all: Vec<_> = headers.iter().collect();
        let own = all.len().checked_sub(header::ALL.len()).ok_or(NotADeadLetter("a header"))?;
        let (own, ours) = all.split_at(own);
        let text = |index: usize| -> Result<String, NotADeadLetter> {
            let name = header::ALL[index];
            match ours[index] {
                (key, Some(value)) if key == name => String::from_utf8(value.to_vec()).ok(),
                _ => None,
            }
            .ok_or(NotADeadLetter(name))
        };
        Ok(Self {
            partition: message.partition(),
            offset: message.offset(),
            reason: text(0)?,
            error: text(1)?,
            origin_topic: text(2)?,
            origin_partition: text(3)?
                .parse()
                .map_err(|_| NotADeadLetter(header::ORIGIN_PARTITION))?,
            origin_offset: text(4)?.parse().map_err(|_| NotADeadLetter(header::ORIGIN_OFFSET))?,
            failed_at: text(5)?,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: own.iter().copied().collect(),
        })
    }

    /// Sends the record back as it was, to the partition it came from, so that it keeps
    /// its place among the entity's events. The projector's guards see to it that it
    /// counts once, however often it is sent.
    ///
    /// # Errors
    /// Where the brokers do not confirm it.
    pub async fn redrive(&self, producer: &FutureProducer) -> KafkaResult<()> {
        let mut record =
            FutureRecord::<[u8], [u8]>::to(&self.origin_topic).partition(self.origin_partition);
        if !self.headers.is_empty() {
            record = record.headers(owned(self.headers.iter()));
        }
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        match producer.send(record, Timeout::After(SEND_TIMEOUT)).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error),
        }
    }
}

/// A producer fit for [`DeadLetter::redrive`].
///
/// # Errors
/// Where the settings are not usable.
pub fn redrive_producer(kafka: &KafkaSettings) -> KafkaResult<FutureProducer> {
    client(kafka)
        .set("enable.idempotence", "true")
        .set("message.max.bytes", MAX_MESSAGE_BYTES)
        .create()
}

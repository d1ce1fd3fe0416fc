//! Where a record goes that can never be applied: the topic `dead-letter`.
//!
//! A dead letter is the record itself, key, value and headers untouched, followed by
//! the six headers in [`header`]. So it can be read, and sent back where it came from.
//!
//! If the topic does not take it, for its size or by a rule of the cluster, the letter is
//! sent without what the record itself holds: its origin tells where that can be read.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use shared::Timestamp;
use shared::process::KafkaSettings;

use crate::kafka::client;
use crate::letter_topic::LetterTopic;
use crate::poison::Poison;
use crate::quiet::Quiet;
use crate::recall::Recall;
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

    /// Before those, in a letter without value and headers of the record: how many bytes
    /// its value has.
    pub const VALUE_OMITTED: &str = "value_omitted";
}

/// A record as large as its own topic took must fit, with what is added to it.
pub(crate) const MAX_MESSAGE_BYTES: &str = "16777216";

/// By which a broker or the library says that it will never take this record.
const NEVER_TAKEN: [RDKafkaErrorCode; 4] = [
    RDKafkaErrorCode::MessageSizeTooLarge,
    RDKafkaErrorCode::InvalidMessageSize,
    RDKafkaErrorCode::InvalidRecord,
    RDKafkaErrorCode::PolicyViolation,
];

/// An error quotes the value it stumbled over; the value itself is there in full.
const MAX_ERROR_CHARS: usize = 1_000;

const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The writer of dead letters.
pub struct DeadLetters {
    settings: ClientConfig,
    /// Made for the first letter: its thread takes as much as all else of a projector with
    /// little to do. Made anew after a failure, because a client can stay without a broker
    /// whose partition has moved.
    producer: Option<FutureProducer<Quiet>>,
    topic: LetterTopic,
}

impl DeadLetters {
    /// Connects to nobody yet. `replication` is for a topic that has to be created; -1:
    /// as the cluster says.
    ///
    /// # Errors
    /// Where the settings are not usable.
    pub fn new(kafka: &KafkaSettings, replication: i32) -> KafkaResult<Self> {
        let mut settings = client(kafka);
        let topic = LetterTopic::new(settings.clone(), kafka.topic(TOPIC), replication);
        settings
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MAX_MESSAGE_BYTES)
            .set("delivery.timeout.ms", SEND_TIMEOUT.as_millis().to_string())
            .set("linger.ms", "0");
        // Names what is wrong with them.
        settings.create_native_config()?;
        Ok(Self { settings, producer: None, topic })
    }

    /// Creates the topic where it is missing.
    ///
    /// # Errors
    /// Where Kafka cannot be reached or refuses.
    pub async fn ensure_topic(&self) -> KafkaResult<()> {
        self.topic.ensure().await
    }

    /// Returns once the brokers hold the letter, and whether all of the record is in it.
    ///
    /// # Errors
    /// Where they do not, or may not; to send it again can only double it.
    pub async fn send(&mut self, record: &Record, poison: &Poison) -> KafkaResult<Kept> {
        let added = added_headers(record, poison);
        let headers = owned(record.headers.iter().chain(borrowed(&added)));
        let whole = self.deliver(record.key.as_deref(), record.value.as_deref(), headers).await;
        match whole {
            Ok(()) => return Ok(Kept::Whole),
            Err(error) if !error.rdkafka_error_code().is_some_and(is_final) => return Err(error),
            Err(_) => {}
        }
        let bytes = record.value.as_ref().map_or(0, Vec::len).to_string();
        let omitted = (header::VALUE_OMITTED, Some(bytes.as_bytes()));
        let headers = owned(std::iter::once(omitted).chain(borrowed(&added)));
        // A compacted topic takes none without a key.
        let (topic, offset) = (&record.partition.topic, record.offset);
        let origin = format!("{topic}:{}:{offset}", record.partition.partition);
        self.deliver(Some(origin.as_bytes()), None, headers).await?;
        Ok(Kept::OriginOnly)
    }

    async fn deliver(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> KafkaResult<()> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.settings.create_with_context(Quiet)?,
        };
        let mut letter = FutureRecord::<[u8], [u8]>::to(self.topic.name()).headers(headers);
        letter.key = key;
        letter.payload = value;
        let sent = producer.send(letter, Timeout::After(SEND_TIMEOUT)).await;
        let error = match sent {
            Ok(_) => None,
            Err((error, _)) => Some(error),
        };
        if error.as_ref().is_none_or(|it| it.rdkafka_error_code().is_some_and(is_final)) {
            self.producer = Some(producer);
        } else {
            // Its end may wait for brokers.
            drop(detached("kafka-drop", move || drop(producer)));
        }
        error.map_or(Ok(()), Err)
    }
}

/// What a letter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Whole,
    /// The topic does not take the record itself.
    OriginOnly,
}

fn is_final(code: RDKafkaErrorCode) -> bool {
    NEVER_TAKEN.contains(&code)
}

type Added = [(&'static str, String); 6];

fn added_headers(record: &Record, poison: &Poison) -> Added {
    let error: String = poison.error.chars().take(MAX_ERROR_CHARS).collect();
    [
        (header::REASON, poison.reason.as_str().to_owned()),
        (header::ERROR, error),
        (header::ORIGIN_TOPIC, record.partition.topic.to_string()),
        (header::ORIGIN_PARTITION, record.partition.partition.to_string()),
        (header::ORIGIN_OFFSET, record.offset.to_string()),
        (header::FAILED_AT, Timestamp::now().to_string()),
    ]
}

fn borrowed(added: &Added) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    added.iter().map(|(name, value)| (*name, Some(value.as_bytes())))
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
    /// The topic did not take the record: key, value and headers are not in the letter,
    /// and its value has so many bytes.
    pub value_omitted: Option<u64>,
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
        let omitted = match own {
            [(header::VALUE_OMITTED, Some(bytes))] => {
                std::str::from_utf8(bytes).ok().and_then(|bytes| bytes.parse().ok())
            }
            _ => None,
        };
        let own = if omitted.is_some() { own.split_at(0).0 } else { own };
        let key = message.key().filter(|_| omitted.is_none());
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
            key: key.map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: own.iter().copied().collect(),
            value_omitted: omitted,
        })
    }

    /// The letter with all of its record, which is read at its origin if it is not in the
    /// letter.
    ///
    /// # Errors
    /// Where the brokers do not answer, or the origin is no longer there.
    pub async fn whole(mut self, kafka: &KafkaSettings) -> KafkaResult<Self> {
        if self.value_omitted.is_none() {
            return Ok(self);
        }
        let origin = (self.origin_topic.as_str(), self.origin_partition, self.origin_offset);
        let Some(record) = Recall::new(kafka).one(origin).await? else {
            let gone = RDKafkaErrorCode::OffsetOutOfRange;
            return Err(KafkaError::MessageConsumption(gone));
        };
        (self.key, self.value, self.headers) = (record.key, record.value, record.headers);
        self.value_omitted = None;
        Ok(self)
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

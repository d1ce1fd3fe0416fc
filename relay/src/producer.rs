//! The transactional producer: its settings, its failures by name, and the blocking
//! calls. The async side is publish.rs.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use shared::process::Shutdown;

use crate::config::Config;
use crate::kafka::{Watch, client_config, quiet_log};
use crate::properties::RefusedProperty;
use crate::shard::Shard;

/// What can go wrong in a transaction, by what must be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Aborted: nothing of it is visible. Kafka will never take the records at these
    /// places of the batch (or one of them, where they shared a request).
    #[error("refused {} records: {}", .0.len(), .1)]
    Refused(Vec<usize>, RDKafkaErrorCode),
    /// Aborted: nothing of it is visible, and the producer is as good as new.
    #[error("aborted: {0}")]
    Aborted(String),
    /// Another relay has taken over this transactional.id.
    #[error("fenced by another relay")]
    Fenced,
    /// The producer can do nothing more, and what became of the transaction is not
    /// known here. A new producer decides it, and the checkpoint tells how.
    #[error("producer lost: {0}")]
    Lost(String),
    /// Stopped by shutdown before the commit: nothing of it is visible.
    #[error("shutting down")]
    Stopped,
}

impl TransactionError {
    /// The label of `relay_publish_failures_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(..) => "refused",
            Self::Aborted(_) => "aborted",
            Self::Fenced => "fenced",
            Self::Lost(_) => "producer_lost",
            Self::Stopped => "shutdown",
        }
    }
}

/// How long a transaction under way may still take once the process shall stop.
const GRACE: Duration = Duration::from_secs(2);
/// A call that blocks returns at least this often, to see whether the process shall stop.
const SLICE: Duration = Duration::from_millis(500);
/// How long an abort is attempted before the producer is given up.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// Collects the failed deliveries; successful ones make no report at all.
pub struct Deliveries {
    watch: Watch,
    failed: Mutex<Vec<(usize, RDKafkaErrorCode)>>,
}

impl Deliveries {
    fn take(&self) -> Vec<(usize, RDKafkaErrorCode)> {
        std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.heed(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// The record's place in its batch.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivery: &DeliveryResult<'_>, place: usize) {
        if let Err((error, _)) = delivery {
            let code = error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown);
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.push((place, code));
        }
    }
}

/// A record ready to be sent.
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: &'a str,
    pub value: &'a [u8],
    pub headers: OwnedHeaders,
}

pub struct Producer {
    inner: Client,
    stop: Shutdown,
}

/// librdkafka takes its time to let go of a cluster that is away, and a session ends on
/// an async thread. So another thread holds on to the client until it is the last to do
/// so, and lets go of it then. (Fields are dropped in this order.)
struct Client {
    producer: Arc<BaseProducer<Deliveries>>,
    _in_use: mpsc::Sender<()>,
}

impl Client {
    fn new(producer: BaseProducer<Deliveries>) -> Self {
        let producer = Arc::new(producer);
        let (in_use, released) = mpsc::channel::<()>();
        let last = producer.clone();
        std::thread::spawn(move || {
            // Nothing is ever sent: this returns once the sender is gone.
            released.recv().ok();
            drop(last);
        });
        Self {
            producer,
            _in_use: in_use,
        }
    }
}

impl Deref for Client {
    type Target = BaseProducer<Deliveries>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl Producer {
    /// # Errors
    /// Where a setting is refused by librdkafka.
    pub fn new(
        config: &Config,
        shard: Shard,
        watch: Watch,
        stop: Shutdown,
    ) -> Result<Self, KafkaError> {
        let deliveries = Deliveries {
            watch,
            failed: Mutex::default(),
        };
        let settings = producer_config(config, shard);
        let inner = BaseProducer::from_config_and_context(&settings, deliveries)?;
        Ok(Self {
            inner: Client::new(inner),
            stop,
        })
    }

    /// Fences whoever held the shard before, and decides what they left open.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn init_transactions(&self) -> Result<(), InitError> {
        match self.inner.init_transactions(SLICE * 4) {
            Ok(()) => Ok(()),
            Err(KafkaError::Transaction(error)) if !error.is_fatal() && error.is_retriable() => {
                Err(InitError::Again(error.string()))
            }
            Err(error) => Err(InitError::Lost(error.to_string())),
        }
    }

    /// Serves what librdkafka has to say of its connections; does not wait.
    pub fn heed(&self) {
        self.inner.poll(Duration::ZERO);
    }

    /// Sends `records` in one transaction. Once this returns Ok, and only then, a
    /// read_committed reader sees them, all at once. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn transact(&self, records: Vec<Record<'_>>) -> Result<(), TransactionError> {
        self.inner.context().take();
        self.inner
            .begin_transaction()
            .map_err(|error| self.settle(error))?;
        self.send_all(records)
            .and_then(|()| self.await_deliveries())
            .and_then(|()| self.commit())
    }

    fn send_all(&self, records: Vec<Record<'_>>) -> Result<(), TransactionError> {
        for (place, record) in records.into_iter().enumerate() {
            let mut message = BaseRecord::with_opaque_to(record.topic, place)
                .key(record.key)
                .payload(record.value)
                .headers(record.headers);
            message.partition = record.partition;
            while let Err((error, returned)) = self.inner.send(message) {
                match error.rdkafka_error_code() {
                    // The queue holds more than a batch ever does, but it may be set smaller.
                    Some(RDKafkaErrorCode::QueueFull) => self.inner.poll(Duration::from_millis(5)),
                    Some(code) if is_refusal(code) => {
                        return Err(self.abort(TransactionError::Refused(vec![place], code)));
                    }
                    _ => return Err(self.settle(error)),
                }
                message = returned;
            }
        }
        Ok(())
    }

    /// Until nothing is on its way any more.
    ///
    /// Not by `flush`: in this version it looks only every 100 ms (rdkafka 0.39,
    /// base_producer.rs), thirty times as long as a transaction takes.
    fn await_deliveries(&self) -> Result<(), TransactionError> {
        let begun = Instant::now();
        let mut stopping_since = None;
        loop {
            self.inner.poll(Duration::ZERO);
            if self.inner.in_flight_count() == 0 {
                break;
            }
            if self.out_of_grace(&mut stopping_since) {
                self.inner.purge(PurgeConfig::default().queue().inflight());
                return Err(self.abort(TransactionError::Stopped));
            }
            let waited = begun.elapsed();
            std::thread::sleep(
                (waited / 8).clamp(Duration::from_micros(100), Duration::from_millis(5)),
            );
        }
        self.judge(&self.inner.context().take())
    }

    fn judge(&self, failed: &[(usize, RDKafkaErrorCode)]) -> Result<(), TransactionError> {
        let Some((_, first)) = failed.first() else {
            return Ok(());
        };
        let refused = failed.iter().find(|(_, code)| is_refusal(*code));
        Err(self.abort(match refused {
            Some((_, code)) => {
                let places = failed.iter().filter(|(_, code)| is_refusal(*code));
                TransactionError::Refused(places.map(|(place, _)| *place).collect(), *code)
            }
            None => TransactionError::Aborted(first.to_string()),
        }))
    }

    fn commit(&self) -> Result<(), TransactionError> {
        let mut stopping_since = None;
        loop {
            match self.inner.commit_transaction(SLICE) {
                Ok(()) => return Ok(()),
                // Its outcome is not known yet; the same call asks again.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && !error.is_fatal() && !error.txn_requires_abort() =>
                {
                    if self.out_of_grace(&mut stopping_since) {
                        return Err(TransactionError::Lost(error.string()));
                    }
                }
                Err(error) => return Err(self.settle(error)),
            }
        }
    }

    fn out_of_grace(&self, since: &mut Option<Instant>) -> bool {
        self.stop.is_cancelled() && since.get_or_insert_with(Instant::now).elapsed() > GRACE
    }

    /// What `error` means, having aborted where that is what it asks for.
    fn settle(&self, error: KafkaError) -> TransactionError {
        if let Some((code, reason)) = self.inner.client().fatal_error() {
            return fatal(code, reason);
        }
        match error {
            KafkaError::Transaction(error) if error.is_fatal() => {
                fatal(error.code(), error.string())
            }
            KafkaError::Transaction(error) if !error.txn_requires_abort() => {
                TransactionError::Lost(error.string())
            }
            error => self.abort(TransactionError::Aborted(error.to_string())),
        }
    }

    /// `outcome`, once the transaction is surely aborted; otherwise why it is not.
    fn abort(&self, outcome: TransactionError) -> TransactionError {
        let begun = Instant::now();
        loop {
            let error = match self.inner.abort_transaction(SLICE) {
                Ok(()) => return outcome,
                Err(error) => error,
            };
            if let Some((code, reason)) = self.inner.client().fatal_error() {
                return fatal(code, reason);
            }
            let again = match &error {
                KafkaError::Transaction(error) => error.is_retriable(),
                KafkaError::Flush(_) => true,
                _ => false,
            };
            if !again || begun.elapsed() > ABORT_PATIENCE || self.stop.is_cancelled() {
                return TransactionError::Lost(format!("{outcome}; abort: {error}"));
            }
            self.inner.poll(Duration::ZERO);
        }
    }
}

/// Why the shard could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// The broker is away or still loading: the same call can succeed later.
    #[error("{0}")]
    Again(String),
    /// The producer is of no use; another one may be.
    #[error("{0}")]
    Lost(String),
}

fn fatal(code: RDKafkaErrorCode, reason: String) -> TransactionError {
    match code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => TransactionError::Fenced,
        _ => TransactionError::Lost(reason),
    }
}

/// Verdicts on the record itself, which no retry changes.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidMessageSize
    )
}

/// The settings on which a promise rests come last: nothing overrides them.
fn producer_config(config: &Config, shard: Shard) -> ClientConfig {
    let mut settings = client_config(config);
    // A batch is complete when it is handed over: nothing is gained by waiting.
    settings.set("linger.ms", "0");
    config.kafka_properties.apply(&mut settings);
    settings
        .set("transactional.id", transactional_id(config, shard))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set(
            "transaction.timeout.ms",
            config.transaction_timeout_ms.to_string(),
        )
        .set("compression.type", config.compression.codec())
        .set("message.max.bytes", config.largest_record().to_string())
        // The partition in which a Java client would look for the key.
        .set("partitioner", "murmur2_random")
        .set("delivery.report.only.error", "true");
    settings
}

/// Whether librdkafka takes the settings at all, to be found out at once.
///
/// # Errors
/// [`RefusedProperty`], without the value: it may be a password.
pub fn check(config: &Config) -> Result<(), RefusedProperty> {
    let settings = producer_config(config, config.shard);
    let Err(error) = settings.create_native_config() else {
        return Ok(());
    };
    Err(match error {
        KafkaError::ClientConfig(_, why, property, _) => RefusedProperty::Invalid { property, why },
        error => RefusedProperty::Invalid {
            property: "librdkafka".to_owned(),
            why: error.to_string(),
        },
    })
}

fn transactional_id(config: &Config, shard: Shard) -> String {
    let base = config.kafka.topic("outbox-relay");
    match shard.index() {
        0 => base,
        index => format!("{base}-{index}"),
    }
}

//! The transactional producer's calls. They block; the async side is publish.rs.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use shared::process::Shutdown;

use crate::config::Config;
use crate::failure::{InitError, TransactionError, fatal, is_refusal};
use crate::kafka::{Watch, quiet_log};
use crate::producer_settings::producer_config;
use crate::shard::Shard;

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

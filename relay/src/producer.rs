//! The transactional producer's calls. They block; the async side is publish.rs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use shared::Shard;
use shared::process::Shutdown;

use crate::config::Config;
use crate::failure::{InitError, TransactionError, fatal, is_refusal};
use crate::kafka::{Client, Watch, quiet_log};
use crate::landing::Landing;
use crate::producer_settings::producer_config;

/// How long a transaction under way may still take once the process shall stop.
const GRACE: Duration = Duration::from_secs(2);
/// A call that blocks returns at least this often, to see whether the process shall stop.
const SLICE: Duration = Duration::from_millis(500);
/// How long the cause of a failure may come after its consequences.
const CAUSE: Duration = Duration::from_millis(200);
/// How long an abort is attempted before the producer is given up.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// Collects the failed deliveries, and where the others lie.
pub struct Deliveries {
    watch: Watch,
    failed: Mutex<Vec<(usize, RDKafkaErrorCode)>>,
    /// Of the transaction with this number.
    landed: Mutex<(usize, Landing)>,
}

impl Deliveries {
    /// What failed in this transaction. Reports of an earlier one, which was aborted, may
    /// come late: they are none of this one's business.
    fn failed_in(&self, transaction: usize) -> Vec<RDKafkaErrorCode> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let this = failed.drain(..).filter(|(number, _)| *number == transaction);
        this.map(|(_, code)| code).collect()
    }

    /// Where the records of this transaction lie: all of them, once nothing is on its way.
    fn landed_in(&self, transaction: usize) -> Landing {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, landing) = std::mem::take(&mut *landed);
        if number == transaction { landing } else { Landing::default() }
    }

    fn land(&self, transaction: usize, record: &BorrowedMessage<'_>) {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        if landed.0 != transaction {
            *landed = (transaction, Landing::default());
        }
        landed.1.note(record.topic(), record.partition(), record.offset());
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
    /// The transaction's number.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivery: &DeliveryResult<'_>, transaction: usize) {
        match delivery {
            Ok(record) => self.land(transaction, record),
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((transaction, code));
            }
        }
    }
}

/// A refusal concerns a record; any other failure the transaction.
fn verdict(failed: &[RDKafkaErrorCode]) -> TransactionError {
    match failed.iter().find(|code| is_refusal(**code)) {
        Some(code) => TransactionError::Refused(*code),
        None => {
            TransactionError::Aborted(failed.first().map(ToString::to_string).unwrap_or_default())
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
    /// Of the kind that has its reports served by a thread: an abort waits for all of them
    /// to be served, and blocks the thread that could do so.
    inner: Client<ThreadedProducer<Deliveries>>,
    claimed: AtomicBool,
    /// How many were begun.
    transactions: AtomicUsize,
    stop: Shutdown,
}

impl Producer {
    /// # Errors
    /// Where a setting is refused by librdkafka.
    pub fn new(
        config: &Config,
        shard: Shard,
        turn: usize,
        watch: Watch,
        stop: Shutdown,
    ) -> Result<Self, KafkaError> {
        let deliveries = Deliveries { watch, failed: Mutex::default(), landed: Mutex::default() };
        let settings = producer_config(config, shard, turn);
        let inner = ThreadedProducer::from_config_and_context(&settings, deliveries)?;
        let inner = Client::new(inner);
        Ok(Self {
            inner,
            claimed: AtomicBool::default(),
            transactions: AtomicUsize::default(),
            stop,
        })
    }

    /// Fences whoever held the shard before, and decides what they left open. Once that
    /// is done, another call does nothing.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn init_transactions(&self) -> Result<(), InitError> {
        if self.claimed.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.inner.init_transactions(SLICE * 4) {
            Ok(()) => {
                self.claimed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(KafkaError::Transaction(error)) if !error.is_fatal() && error.is_retriable() => {
                Err(InitError::Again(error.string()))
            }
            Err(error) => Err(InitError::Lost(error.to_string())),
        }
    }

    /// Sends `records` in one transaction, and says where they lie. Once this returns Ok,
    /// and only then, a read_committed reader sees them, all at once. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn transact(&self, records: Vec<Record<'_>>) -> Result<Landing, TransactionError> {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        self.inner.begin_transaction().map_err(|error| self.settle(error))?;
        self.send_all(records, number)
            .and_then(|()| self.await_deliveries(number))
            .and_then(|()| self.commit())?;
        Ok(self.inner.client().context().landed_in(number))
    }

    fn send_all(&self, records: Vec<Record<'_>>, number: usize) -> Result<(), TransactionError> {
        for record in records {
            let mut message = BaseRecord::with_opaque_to(record.topic, number)
                .key(record.key)
                .payload(record.value)
                .headers(record.headers);
            message.partition = record.partition;
            while let Err((error, returned)) = self.inner.send(message) {
                match error.rdkafka_error_code() {
                    // The queue holds more than a batch ever does, but it may be set smaller.
                    Some(RDKafkaErrorCode::QueueFull) => {
                        std::thread::sleep(Duration::from_millis(1))
                    }
                    Some(code) if is_refusal(code) => {
                        return Err(self.abort(TransactionError::Refused(code)));
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
    ///
    /// Or until a failure: the transaction can then only be aborted, and librdkafka sends
    /// no more of it. It discards what it had not sent yet, and reports that at once, often
    /// before the cause; so the cause is waited for a little.
    fn await_deliveries(&self, number: usize) -> Result<(), TransactionError> {
        let begun = Instant::now();
        let mut stopping_since = None;
        let mut failed = Vec::new();
        let mut failing_since = None;
        loop {
            failed.extend(self.inner.client().context().failed_in(number));
            let settled = self.inner.in_flight_count() == 0;
            if !failed.is_empty() {
                let since = *failing_since.get_or_insert_with(Instant::now);
                let known = failed.iter().any(|code| is_refusal(*code));
                if known || settled || since.elapsed() > CAUSE {
                    return Err(self.abort(verdict(&failed)));
                }
            } else if settled {
                return Ok(());
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
        }
    }
}

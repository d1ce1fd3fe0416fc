//! The transactional producer's calls. They block; the async side is publish.rs, and what is
//! done with a transaction, in which order, transaction.rs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use shared::Shard;
use shared::process::Shutdown;

use crate::config::Config;
use crate::deliveries::Deliveries;
use crate::failure::{InitError, TransactionError, fatal, is_refusal};
use crate::kafka::{Client, Watch};
use crate::producer_settings::producer_config;
use crate::transaction::{Limit, Record, Transaction};

/// A call that blocks returns at least this often, to see whether the process shall stop.
const SLICE: Duration = Duration::from_millis(500);
/// How long the cause of a failure may come after its consequences.
const CAUSE: Duration = Duration::from_millis(200);
/// A nap takes longer than what it waits for usually does.
const SPIN: Duration = Duration::from_micros(50);
/// A producer that is no longer needed is let go of this late.
const SERVE: Duration = Duration::from_secs(1);
/// How long an abort is attempted before the producer is given up.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

pub struct Producer {
    inner: Client<BaseProducer<Deliveries>>,
    claimed: AtomicBool,
    /// How many were begun.
    transactions: AtomicUsize,
    /// librdkafka's part of beginning the next one is done.
    is_prepared: Mutex<bool>,
    /// A transaction that takes longer is given up: the broker has aborted it long before.
    /// After a broker had been frozen, a relay was once seen to wait without end.
    patience: Duration,
    stop: Shutdown,
}

/// Serves the reports on a thread of their own: an abort waits for all of them to be served,
/// and blocks the thread that could do so.
///
/// `ThreadedProducer` does the same in polls of 100 ms, and rdkafka (0.39, util.rs) counts
/// what is left of a poll in whole milliseconds: the last one of each is a busy wait, in sum
/// two thirds of what a relay with little to do used. Hence the longer polls.
fn serve_reports(producer: &Client<BaseProducer<Deliveries>>) {
    let producer = Arc::downgrade(&producer.shared());
    std::thread::spawn(move || {
        while let Some(producer) = producer.upgrade() {
            producer.poll(SERVE);
        }
    });
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
        let settings = producer_config(config, shard, turn);
        let deliveries = Deliveries::new(watch);
        let inner = Client::new(BaseProducer::from_config_and_context(&settings, deliveries)?);
        serve_reports(&inner);
        Ok(Self {
            inner,
            claimed: AtomicBool::default(),
            transactions: AtomicUsize::default(),
            is_prepared: Mutex::default(),
            patience: Duration::from_millis(config.transaction_timeout_ms.into()) * 2,
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

    /// Does ahead of time what would keep the next event waiting: four threads of librdkafka
    /// wake one another. No broker learns of the transaction before its first record, so it
    /// may stay like this for as long as nothing happens. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`]; [`Producer::begin`] will try again.
    pub fn prepare(&self) -> Result<(), TransactionError> {
        self.prepare_with(&mut self.prepared())
    }

    fn prepare_with(&self, is_prepared: &mut bool) -> Result<(), TransactionError> {
        if !*is_prepared {
            self.inner.begin_transaction().map_err(|error| self.settle(error))?;
            *is_prepared = true;
        }
        Ok(())
    }

    /// Held while `begin_transaction` is under way: the next transaction may begin on another
    /// thread while this one is still being prepared.
    fn prepared(&self) -> MutexGuard<'_, bool> {
        self.is_prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn begin(&self) -> Result<Transaction<'_>, TransactionError> {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        self.deliveries().begin(number);
        let mut is_prepared = self.prepared();
        self.prepare_with(&mut is_prepared)?;
        *is_prepared = false;
        drop(is_prepared);
        Ok(Transaction::new(self, number, Limit::new(self.patience)))
    }

    pub(crate) fn send(
        &self,
        record: Record<'_>,
        number: usize,
        limit: &mut Limit,
    ) -> Result<(), TransactionError> {
        let mut message = BaseRecord::with_opaque_to(record.topic, number)
            .key(record.key)
            .payload(record.value)
            .headers(record.headers);
        message.partition = record.partition;
        while let Err((error, returned)) = self.inner.send(message) {
            match error.rdkafka_error_code() {
                // A record larger than what else may be held back waits for all before it.
                Some(RDKafkaErrorCode::QueueFull) => {
                    self.check(limit)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Some(code) if is_refusal(code) => {
                    return Err(self.abort(TransactionError::Refused(code)));
                }
                _ => return Err(self.failed(error)),
            }
            message = returned;
        }
        Ok(())
    }

    /// What has made a transaction take no more records. The report of the record that
    /// is to blame may come a little later than this consequence of it.
    fn failed(&self, error: KafkaError) -> TransactionError {
        match self.cause() {
            Some(refused) => self.abort(refused),
            None => self.settle(error),
        }
    }

    /// Why records of this transaction failed, if one of them was refused: that is often
    /// reported after what follows from it, but not after all others.
    fn cause(&self) -> Option<TransactionError> {
        let begun = Instant::now();
        let mut reports = self.deliveries().reports();
        loop {
            let refused = reports.failed.iter().find(|code| is_refusal(**code));
            let left = CAUSE.saturating_sub(begun.elapsed());
            if refused.is_some() || reports.are_complete() || left.is_zero() {
                return refused.map(|code| TransactionError::Refused(*code));
            }
            reports = self.deliveries().wait(reports, left);
        }
    }

    /// What is not sent yet shall not keep the process from stopping. Requests that are on
    /// their way are waited for: one that reached a broker after the abort would begin a
    /// transaction that nothing ends.
    fn give_up(&self) -> TransactionError {
        self.inner.purge(PurgeConfig::default().queue());
        self.abort(TransactionError::Stopped)
    }

    /// Until each of `sent` records is reported delivered.
    ///
    /// Not by `flush`: in this version it looks only every 100 ms (rdkafka 0.39,
    /// base_producer.rs), thirty times as long as a transaction takes.
    ///
    /// Or until a failure: the transaction can then only be aborted, and librdkafka sends
    /// no more of it. It discards what it had not sent yet, and reports that at once, often
    /// before the cause; so the cause is waited for a little.
    pub(crate) fn await_deliveries(
        &self,
        sent: usize,
        limit: &mut Limit,
    ) -> Result<(), TransactionError> {
        self.deliveries().reports().expected = Some(sent);
        loop {
            let mut reports = self.deliveries().reports();
            if reports.failed.is_empty() && !reports.are_complete() {
                reports = self.deliveries().wait(reports, SLICE);
            }
            if let Some(first) = reports.failed.first() {
                let aborted = TransactionError::Aborted(first.to_string());
                drop(reports);
                return Err(self.abort(self.cause().unwrap_or(aborted)));
            }
            if reports.are_complete() {
                drop(reports);
                self.let_go();
                return Ok(());
            }
            drop(reports);
            self.check(limit)?;
        }
    }

    /// Waits until the thread that has just told us of the last record has let go of it:
    /// a commit that comes sooner waits 100 ms for that.
    fn let_go(&self) {
        let begun = Instant::now();
        while self.inner.in_flight_count() > 0 && begun.elapsed() < CAUSE {
            if begun.elapsed() < SPIN {
                std::thread::yield_now();
            } else {
                std::thread::sleep(SPIN);
            }
        }
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        self.inner.client().context()
    }

    pub(crate) fn commit(&self, limit: &mut Limit) -> Result<(), TransactionError> {
        loop {
            match self.inner.commit_transaction(SLICE) {
                Ok(()) => return Ok(()),
                // Its outcome is not known yet; the same call asks again.
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && !error.is_fatal() && !error.txn_requires_abort() =>
                {
                    if limit.is_out_of_grace(&self.stop) {
                        return Err(TransactionError::Lost(error.string()));
                    }
                    limit.check()?;
                }
                Err(error) => return Err(self.settle(error)),
            }
        }
    }

    /// Whether a transaction may go on.
    ///
    /// # Errors
    /// [`TransactionError`]: it is given up.
    pub(crate) fn check(&self, limit: &mut Limit) -> Result<(), TransactionError> {
        if limit.is_out_of_grace(&self.stop) {
            return Err(self.give_up());
        }
        limit.check()
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
    pub(crate) fn abort(&self, outcome: TransactionError) -> TransactionError {
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

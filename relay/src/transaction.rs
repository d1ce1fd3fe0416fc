//! A transaction: records are sent, delivered, and then committed, or abandoned.

use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;
use shared::process::Shutdown;

use crate::failure::TransactionError;
use crate::landing::Landing;
use crate::producer::Producer;

/// Most bytes that librdkafka holds and the brokers do not have yet, unless one record alone
/// has more. It bounds the memory when Kafka is slower than MongoDB, and is what a few
/// requests need.
const HELD_BACK: usize = 1 << 20;
/// Between two looks at whether there is room.
const NAP: Duration = Duration::from_millis(1);
/// How long a transaction under way may still take once the process shall stop.
const GRACE: Duration = Duration::from_secs(2);

/// A record ready to be sent.
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: &'a str,
    pub value: &'a [u8],
    pub headers: OwnedHeaders,
}

/// A transaction that was begun. After an error it is aborted, or the producer is lost.
pub struct Transaction<'a> {
    producer: &'a Producer,
    number: usize,
    /// Records.
    sent: usize,
    /// Of their keys and values.
    bytes: usize,
    /// So much of that the brokers were known to have when it was last looked at.
    reported: usize,
    limit: Limit,
}

/// Until when a transaction may go on.
#[derive(Clone, Copy)]
pub struct Limit {
    overdue: Instant,
    /// Once the process shall stop.
    grace_over: Option<Instant>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(producer: &'a Producer, number: usize, limit: Limit) -> Self {
        Self { producer, number, sent: 0, bytes: 0, reported: 0, limit }
    }

    /// Hands a copy of `record` to librdkafka; waits where that holds enough already.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn send(&mut self, record: Record<'_>) -> Result<(), TransactionError> {
        let bytes = record.key.len() + record.value.len();
        self.await_room(bytes)?;
        self.producer.send(record, self.number, &mut self.limit)?;
        self.sent += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Until `more` bytes fit into what the brokers do not have yet. A failure is no reason to
    /// wait: it shows when the record is sent, or at the end.
    fn await_room(&mut self, more: usize) -> Result<(), TransactionError> {
        while self.bytes > self.reported && self.bytes + more > self.reported + HELD_BACK {
            let deliveries = self.producer.deliveries();
            let mut reports = deliveries.reports();
            if reports.bytes == self.reported && reports.failed.is_empty() {
                reports = deliveries.wait(reports, NAP);
            }
            if !reports.failed.is_empty() {
                return Ok(());
            }
            self.reported = reports.bytes;
            drop(reports);
            self.producer.check(&mut self.limit)?;
        }
        Ok(())
    }

    /// Waits until the brokers have every record: another producer's records then come to
    /// lie behind these. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn deliver(mut self) -> Result<Delivered<'a>, TransactionError> {
        self.producer.await_deliveries(self.sent, &mut self.limit)?;
        Ok(Delivered(self))
    }
}

/// A transaction of which nothing is missing but its end.
pub struct Delivered<'a>(Transaction<'a>);

impl Delivered<'_> {
    /// Commits, and says where the records lie. Once this returns Ok, and only then, a
    /// read_committed reader sees them, all at once. Blocks.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn commit(self) -> Result<Landing, TransactionError> {
        let Transaction { producer, mut limit, .. } = self.0;
        producer.commit(&mut limit)?;
        Ok(std::mem::take(&mut producer.deliveries().reports().landed))
    }

    /// Aborts it as [`TransactionError::Abandoned`], unless even that fails. Blocks.
    pub fn abandon(self) -> TransactionError {
        self.0.producer.abort(TransactionError::Abandoned)
    }
}

impl Limit {
    pub fn new(patience: Duration) -> Self {
        Self { overdue: Instant::now() + patience, grace_over: None }
    }

    /// Whether the process shall stop, and has waited long enough for this transaction.
    pub fn is_out_of_grace(&mut self, stop: &Shutdown) -> bool {
        let now = Instant::now();
        stop.is_cancelled() && *self.grace_over.get_or_insert(now + GRACE) < now
    }

    /// # Errors
    /// [`TransactionError::Lost`]: another producer decides what became of it.
    pub fn check(&self) -> Result<(), TransactionError> {
        if Instant::now() < self.overdue {
            return Ok(());
        }
        Err(TransactionError::Lost("the transaction has not ended in time".to_owned()))
    }
}

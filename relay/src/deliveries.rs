//! What librdkafka reports of the records of a transaction, as it comes, on a thread of its
//! own; and whoever waits for that.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::kafka::{Watch, quiet_log};
use crate::landing::Landing;

/// The reports of one transaction's records: librdkafka gives each record exactly one.
pub struct Deliveries {
    watch: Watch,
    reports: Mutex<Reports>,
    /// Whoever waits for them is woken by a failure, and by the last one.
    news: Condvar,
}

#[derive(Default)]
pub struct Reports {
    /// Of the transaction with this number. Those of an earlier one, which was aborted, may
    /// come late: they are none of this one's business.
    transaction: usize,
    /// Known once all are sent.
    pub expected: Option<usize>,
    reported: usize,
    /// Of their keys and values.
    pub bytes: usize,
    pub failed: Vec<RDKafkaErrorCode>,
    pub landed: Landing,
}

impl Reports {
    pub fn are_complete(&self) -> bool {
        self.expected.is_some_and(|expected| self.reported >= expected)
    }
}

impl Deliveries {
    pub fn new(watch: Watch) -> Self {
        Self { watch, reports: Mutex::default(), news: Condvar::default() }
    }

    pub fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of any other transaction no longer counts.
    pub fn begin(&self, transaction: usize) {
        *self.reports() = Reports { transaction, ..Reports::default() };
    }

    /// Waits for news, but at most for `limit`.
    pub fn wait<'a>(
        &self,
        reports: MutexGuard<'a, Reports>,
        limit: Duration,
    ) -> MutexGuard<'a, Reports> {
        let woken = self.news.wait_timeout(reports, limit);
        woken.unwrap_or_else(PoisonError::into_inner).0
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
        let mut reports = self.reports();
        if reports.transaction != transaction {
            return;
        }
        reports.reported += 1;
        let record = match delivery {
            Ok(record) | Err((_, record)) => record,
        };
        reports.bytes += record.key_len() + record.payload_len();
        match delivery {
            Ok(record) => {
                reports.landed.note(record.topic(), record.partition(), record.offset());
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                reports.failed.push(code);
            }
        }
        if reports.are_complete() || delivery.is_err() {
            self.news.notify_all();
        }
    }
}

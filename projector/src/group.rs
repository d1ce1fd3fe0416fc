//! The consumer group as librdkafka reports it: partitions come and go, commits fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientContext, TopicPartitionList};
use shared::process::Dependency;

use crate::lag::{Fetched, Lag};
use crate::quiet;
use crate::record::{Partition, Record};

/// What librdkafka calls back into.
pub(crate) struct Group {
    lag: Lag,
    kafka: Dependency,
    revoked: Mutex<Vec<Partition>>,
    beyond_markers: Mutex<BTreeMap<Partition, i64>>,
    commit_failed: AtomicBool,
}

impl Group {
    pub(crate) fn new(lag: Lag, kafka: Dependency) -> Self {
        Self {
            lag,
            kafka,
            revoked: Mutex::default(),
            beyond_markers: Mutex::default(),
            commit_failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn received(&self, record: &Record) {
        self.kafka.up();
        self.lag.taken(&record.partition, record.offset);
    }

    /// Whether [`Self::take_revoked`] has something to return.
    pub(crate) fn has_revoked(&self) -> bool {
        !lock(&self.revoked).is_empty()
    }

    /// Whether it was taken away since the last [`Self::take_revoked`].
    pub(crate) fn is_revoked(&self, partition: &Partition) -> bool {
        lock(&self.revoked).contains(partition)
    }

    /// Partitions taken away since the last call.
    pub(crate) fn take_revoked(&self) -> Vec<Partition> {
        std::mem::take(&mut *lock(&self.revoked))
    }

    /// Where a partition is applied up to its end, which lies beyond its last record.
    pub(crate) fn take_beyond_markers(&self) -> BTreeMap<Partition, i64> {
        std::mem::take(&mut *lock(&self.beyond_markers))
    }

    pub(crate) fn commit_failed(&self, error: &KafkaError) {
        tracing::debug!(%error, "offsets not committed");
        self.commit_failed.store(true, Ordering::Relaxed);
    }

    /// Whether a commit failed since the last call.
    pub(crate) fn take_commit_failed(&self) -> bool {
        self.commit_failed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn report(&self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            // Not created yet.
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {}
            Some(Code::AllBrokersDown) => self.kafka.down(error),
            // One broker of several, or the first sign of AllBrokersDown.
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {}
            _ => tracing::warn!(%error, "kafka reports an error"),
        }
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet::log(level, facility, message);
    }

    /// Comes out of the poll as well, where [`Self::report`] judges it.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut brokers = statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        if brokers.any(|broker| broker.state == "UP") {
            self.kafka.up();
        }
        for (name, topic) in &statistics.topics {
            for (number, partition) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
                let place = Partition { topic: name.as_str().into(), partition: *number };
                let fetched = Fetched {
                    queued: partition.fetchq_cnt,
                    next_offset: partition.next_offset,
                    end_offset: partition.ls_offset,
                    committed_offset: partition.committed_offset,
                };
                if let Some(end) = self.lag.fetched(&place, fetched) {
                    lock(&self.beyond_markers).insert(place, end);
                }
            }
        }
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(assigned) => {
                self.kafka.up();
                tracing::info!(partitions = assigned.count(), "partitions assigned");
                for partition in places(assigned) {
                    self.lag.assigned(partition);
                }
            }
            Rebalance::Revoke(revoked) => {
                tracing::info!(partitions = revoked.count(), "partitions revoked");
                for partition in places(revoked) {
                    self.lag.revoked(&partition);
                    lock(&self.revoked).push(partition);
                }
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.commit_failed(&error);
        }
    }
}

fn places(list: &TopicPartitionList) -> Vec<Partition> {
    let place = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
        topic: element.topic().into(),
        partition: element.partition(),
    };
    list.elements().iter().map(place).collect()
}

/// What the locks guard is whole after every statement, so a panic cannot have harmed it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

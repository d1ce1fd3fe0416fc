//! The consumer group as librdkafka reports it: partitions come and go, commits fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use shared::process::Dependency;

use crate::lag::{Fetched, Lag};
use crate::quiet;
use crate::record::Partition;

/// How librdkafka begins to say that a topic of the subscription is not there.
const MISSING_TOPIC: &str = "Subscribed topic not available: ";

/// Partitions come or go. In the order in which it happened.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// What librdkafka calls back into: one for each consumer.
pub(crate) struct Group {
    lag: Lag,
    kafka: Dependency,
    /// Before the consumer was made: its own count of time begins later.
    begun: Instant,
    changes: Mutex<Vec<Change>>,
    beyond_markers: Mutex<BTreeMap<Partition, i64>>,
    ends: Mutex<BTreeMap<Partition, i64>>,
    /// Of the assignment as it is now.
    partitions: Mutex<BTreeSet<Partition>>,
    commit_failed: AtomicBool,
    has_broker: Arc<AtomicBool>,
    /// Where we read may not be where we think.
    is_suspect: AtomicBool,
    fatal: Mutex<Option<KafkaError>>,
    /// Another consumer has taken its place: what it says does not count.
    is_retired: AtomicBool,
}

impl Group {
    pub(crate) fn new(lag: Lag, kafka: Dependency, has_broker: Arc<AtomicBool>) -> Self {
        Self {
            lag,
            kafka,
            begun: Instant::now(),
            changes: Mutex::default(),
            beyond_markers: Mutex::default(),
            ends: Mutex::default(),
            partitions: Mutex::default(),
            commit_failed: AtomicBool::new(false),
            has_broker,
            is_suspect: AtomicBool::new(false),
            fatal: Mutex::default(),
            is_retired: AtomicBool::new(false),
        }
    }

    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Whether [`Self::take_changes`] has something to return.
    pub(crate) fn has_changes(&self) -> bool {
        !lock(&self.changes).is_empty()
    }

    /// What came and went since the last call.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// Whether it was taken away since the last [`Self::take_changes`].
    pub(crate) fn is_revoked(&self, partition: &Partition) -> bool {
        let changes = lock(&self.changes);
        changes.iter().any(|change| match change {
            Change::Revoked(revoked) => revoked.contains(partition),
            Change::Assigned(_) => false,
        })
    }

    /// Whether something has happened since the last call after which a position may be wrong:
    /// it was out of range, or a topic was missing or has become shorter.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.is_suspect.swap(false, Ordering::Relaxed)
    }

    /// The error after which this consumer never does anything again.
    pub(crate) fn take_fatal(&self) -> Option<KafkaError> {
        lock(&self.fatal).take()
    }

    pub(crate) fn received(&self) {
        self.has_broker.store(true, Ordering::Relaxed);
        self.kafka.up();
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
        if let KafkaError::MessageConsumptionFatal(_) = error {
            *lock(&self.fatal) = Some(error.clone());
            return;
        }
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset) => self.is_suspect.store(true, Ordering::Relaxed),
            // `error` has judged it: it knows the topic.
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {}
            Some(Code::AllBrokersDown) => {
                self.has_broker.store(false, Ordering::Relaxed);
                self.kafka.down(error);
            }
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

    /// Comes out of the poll as well, where [`Self::report`] judges what needs no `reason`.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        if self.is_about_our_topics(&error, reason) {
            self.is_suspect.store(true, Ordering::Relaxed);
        }
    }

    fn stats(&self, statistics: Statistics) {
        if self.is_retired() {
            return;
        }
        let mut brokers = statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
        let has_broker = brokers.any(|broker| broker.state == "UP");
        self.has_broker.store(has_broker, Ordering::Relaxed);
        if has_broker {
            self.kafka.up();
        }
        let age = Duration::from_micros(u64::try_from(statistics.age).unwrap_or_default());
        for (name, topic) in &statistics.topics {
            for (number, partition) in topic.partitions.iter().filter(|(number, _)| **number >= 0) {
                let place = Partition { topic: name.as_str().into(), partition: *number };
                let fetched = Fetched {
                    at: self.begun + age,
                    queued: partition.fetchq_cnt,
                    next_offset: partition.next_offset,
                    end_offset: partition.ls_offset,
                };
                self.watch_end(&place, fetched.end_offset);
                if let Some(end) = self.lag.fetched(&place, fetched) {
                    lock(&self.beyond_markers).insert(place, end);
                }
            }
        }
    }
}

impl Group {
    /// Whether a topic that is read may have been deleted. A subscribed topic that was not
    /// created yet says nothing about the others.
    fn is_about_our_topics(&self, error: &KafkaError, reason: &str) -> bool {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code();
        if !matches!(code, Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) {
            return false;
        }
        let topic = reason.strip_prefix(MISSING_TOPIC).and_then(|rest| rest.split(':').next());
        topic.is_none_or(|topic| lock(&self.partitions).iter().any(|it| *it.topic == *topic))
    }

    /// The end of a log moves forward only. What ends earlier is another log.
    fn watch_end(&self, partition: &Partition, end: i64) {
        let mut ends = lock(&self.ends);
        let before =
            if end < 0 { ends.remove(partition) } else { ends.insert(partition.clone(), end) };
        if before.is_some_and(|before| (0..before).contains(&end)) {
            self.is_suspect.store(true, Ordering::Relaxed);
        }
    }

    fn assigned(&self, partitions: Vec<Partition>) {
        if partitions.is_empty() || self.is_retired() {
            return;
        }
        self.received();
        tracing::info!(partitions = partitions.len(), "partitions assigned");
        for partition in &partitions {
            self.lag.assigned(partition.clone());
            lock(&self.partitions).insert(partition.clone());
        }
        lock(&self.changes).push(Change::Assigned(partitions));
    }

    fn revoked(&self, partitions: Vec<Partition>) {
        if partitions.is_empty() || self.is_retired() {
            return;
        }
        tracing::info!(partitions = partitions.len(), "partitions revoked");
        for partition in &partitions {
            self.lag.revoked(partition);
            lock(&self.ends).remove(partition);
            lock(&self.partitions).remove(partition);
        }
        lock(&self.changes).push(Change::Revoked(partitions));
    }
}

impl ConsumerContext for Group {
    /// What is assigned is not read yet: only [`crate::consume::Source`] knows where it
    /// begins, once MySQL has said so. To the group it is ours from now on.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assigned(places(partitions));
                consumer.incremental_assign(&TopicPartitionList::new())
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let revoked = places(partitions);
                let done = unassign(consumer, &revoked);
                self.revoked(revoked);
                done
            }
            _ => {
                tracing::warn!(error = ?code, "rebalance failed");
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "rebalance failed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.commit_failed(&error);
        }
    }
}

/// Stops reading those of `partitions` that are being read. None of their records comes out of
/// a later poll.
pub(crate) fn unassign<C: Consumer<Group>>(
    consumer: &C,
    partitions: &[Partition],
) -> KafkaResult<()> {
    let mut read = TopicPartitionList::new();
    for partition in places(&consumer.assignment()?) {
        if partitions.contains(&partition) {
            read.add_partition(&partition.topic, partition.partition);
        }
    }
    consumer.incremental_unassign(&read)
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

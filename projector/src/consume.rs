//! Records out of Kafka, committed ones only, and the group that shares them out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::{Dependency, KafkaSettings};

use crate::config::Config;
use crate::lag::{Fetched, Lag};
use crate::quiet;
use crate::record::{Partition, Record};

/// The consumer of the five topics.
pub struct Source {
    consumer: StreamConsumer<Group>,
    /// With the names the topics have on this cluster.
    topics: Vec<(Domain, Arc<str>)>,
    /// The next offset of each partition, as last committed or tried to.
    committed: BTreeMap<Partition, i64>,
}

impl Source {
    /// Begins to connect: poll from now on, or what librdkafka reports meanwhile is old
    /// news by the time it is heard.
    ///
    /// # Errors
    /// Where the settings are not usable.
    pub fn new(config: &Config, lag: Lag, kafka: Dependency) -> KafkaResult<Self> {
        let group = Group::new(lag, kafka);
        let consumer: StreamConsumer<Group> = properties(config).create_with_context(group)?;
        let topics: Vec<_> = Domain::ALL
            .into_iter()
            .map(|domain| (domain, Arc::from(config.kafka.topic(domain.topic()))))
            .collect();
        Ok(Self { consumer, topics, committed: BTreeMap::new() })
    }

    /// Joins the group. Topics that are not there yet are awaited.
    ///
    /// # Errors
    /// Where a topic's name is not one.
    pub fn subscribe(&self) -> KafkaResult<()> {
        let names: Vec<_> = self.topics.iter().map(|(_, name)| &**name).collect();
        self.consumer.subscribe(&names)
    }

    /// The next record. It polls, and so must be awaited even where none is wanted:
    /// then after [`Self::pause`]. May be dropped while it waits.
    pub async fn next(&self) -> Record {
        loop {
            if let Some(record) = self.read(self.consumer.recv().await) {
                return record;
            }
        }
    }

    /// A record that is here already.
    pub fn next_if_any(&self) -> Option<Record> {
        while let Some(received) = self.consumer.recv().now_or_never() {
            if let Some(record) = self.read(received) {
                return Some(record);
            }
        }
        None
    }

    /// Remembers and commits the offsets after these, without waiting for the brokers.
    pub fn commit<'a>(&mut self, next_offsets: impl Iterator<Item = (&'a Partition, i64)>) {
        for (partition, offset) in next_offsets {
            self.committed.insert(partition.clone(), offset);
        }
        self.commit_all(CommitMode::Async);
    }

    /// What is due once in a while: commits again what failed, and moves the group
    /// beyond the transaction markers at a partition's end, so that everybody's tools
    /// show a lag of 0.
    pub fn refresh_commits(&mut self) {
        let markers = std::mem::take(&mut *lock(&self.consumer.context().beyond_markers));
        let moved = markers.into_iter().filter(|(partition, offset)| {
            self.committed.get(partition).is_some_and(|committed| committed < offset)
        });
        let moved: Vec<_> = moved.collect();
        let failed = self.consumer.context().commit_failed.swap(false, Ordering::Relaxed);
        self.committed.extend(moved.iter().cloned());
        if failed || !moved.is_empty() {
            self.commit_all(CommitMode::Async);
        }
    }

    /// Partitions taken away since the last call. Their offsets are not ours any more.
    pub fn take_revoked(&mut self) -> Vec<Partition> {
        let revoked = std::mem::take(&mut *lock(&self.consumer.context().revoked));
        for partition in &revoked {
            self.committed.remove(partition);
        }
        revoked
    }

    /// No more records until [`Self::resume`].
    ///
    /// # Errors
    /// Where the consumer is already closed.
    pub fn pause(&self) -> KafkaResult<()> {
        self.consumer.pause(&self.consumer.assignment()?)
    }

    /// # Errors
    /// Where the consumer is already closed.
    pub fn resume(&self) -> KafkaResult<()> {
        self.consumer.resume(&self.consumer.assignment()?)
    }

    /// Commits for the last time and leaves the group. Blocks until the brokers
    /// answered or cannot be reached.
    pub fn close(self) {
        self.commit_all(CommitMode::Sync);
    }

    fn commit_all(&self, mode: CommitMode) {
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in &self.committed {
            let offset = Offset::Offset(*offset);
            // Fails only for offsets that no record can have.
            let _ = offsets.add_partition_offset(&partition.topic, partition.partition, offset);
        }
        if offsets.count() == 0 {
            return;
        }
        // MySQL holds the rows already. What is not committed is read again, and changes nothing.
        if let Err(error) = self.consumer.commit(&offsets, mode) {
            tracing::debug!(%error, "offsets not committed");
            self.consumer.context().commit_failed.store(true, Ordering::Relaxed);
        }
    }

    fn read(&self, received: Result<BorrowedMessage<'_>, KafkaError>) -> Option<Record> {
        let group = self.consumer.context();
        match received {
            Ok(message) => {
                group.kafka.up();
                let (domain, topic) =
                    self.topics.iter().find(|(_, topic)| **topic == *message.topic())?;
                let record = Record::from_message(&message, *domain, topic.clone());
                group.lag.taken(&record.partition, record.offset);
                Some(record)
            }
            Err(error) => {
                group.report(&error);
                None
            }
        }
    }
}

fn properties(config: &Config) -> ClientConfig {
    let KafkaSettings { kafka_bootstrap_servers, kafka_client_id, .. } = &config.kafka;
    let mut properties = ClientConfig::new();
    properties
        .set("bootstrap.servers", kafka_bootstrap_servers)
        .set("client.id", kafka_client_id)
        .set("group.id", &config.kafka_group_id)
        .set("session.timeout.ms", config.kafka_session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.kafka_session_timeout_ms / 3).to_string())
        .set(
            "max.poll.interval.ms",
            config.kafka_max_poll_interval_ms.max(config.kafka_session_timeout_ms).to_string(),
        )
        // Only the partitions that move are taken away in a rebalance.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        // Offsets follow MySQL's commit, nothing else.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The relay creates the topics; we notice within a second.
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("reconnect.backoff.max.ms", "1000")
        // What librdkafka may hold beside our own batches, and no pause once it is full.
        .set("queued.max.messages.kbytes", "1024")
        .set("queued.min.messages", "10000")
        .set("fetch.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "5")
        .set("statistics.interval.ms", "1000");
    properties
}

/// What librdkafka calls back into.
struct Group {
    lag: Lag,
    kafka: Dependency,
    revoked: Mutex<Vec<Partition>>,
    beyond_markers: Mutex<BTreeMap<Partition, i64>>,
    commit_failed: AtomicBool,
}

impl Group {
    fn new(lag: Lag, kafka: Dependency) -> Self {
        Self {
            lag,
            kafka,
            revoked: Mutex::default(),
            beyond_markers: Mutex::default(),
            commit_failed: AtomicBool::new(false),
        }
    }

    fn report(&self, error: &KafkaError) {
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
            tracing::debug!(%error, "offsets not committed");
            self.commit_failed.store(true, Ordering::Relaxed);
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

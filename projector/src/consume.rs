//! Records out of Kafka, committed ones only, and offsets back.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::Dependency;
use tokio::time::Instant;

use crate::config::Config;
use crate::group::Group;
use crate::kafka::client;
use crate::lag::Lag;
use crate::record::{Partition, Record};

/// Offsets are committed at most this often. A client that waits for its write to be
/// applied learns of it by the committed offset.
const BETWEEN_COMMITS: Duration = Duration::from_millis(50);

/// What the group hands out, in the one order in which it happened: behind a revocation
/// there is no record of the assignment that it ended.
#[derive(Debug)]
pub enum Polled {
    Record(Record),
    /// Partitions taken from us: their records and offsets belong to the next owner, which
    /// may be ourselves a moment later.
    Revoked(Vec<Partition>),
}

/// The consumer of the five topics.
pub struct Source {
    consumer: StreamConsumer<Group>,
    /// With the names the topics have on this cluster.
    topics: Vec<(Domain, Arc<str>)>,
    /// Came out of the same poll as a revocation, behind it.
    stashed: Option<Record>,
    /// The next offset of each partition, as last committed or tried to.
    committed: BTreeMap<Partition, i64>,
    /// No earlier than this.
    next_commit: Instant,
    commit_due: Option<Instant>,
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
        Ok(Self {
            consumer,
            topics,
            stashed: None,
            committed: BTreeMap::new(),
            next_commit: Instant::now(),
            commit_due: None,
        })
    }

    /// Joins the group. Topics that are not there yet are awaited.
    ///
    /// # Errors
    /// Where a topic's name is not one.
    pub fn subscribe(&self) -> KafkaResult<()> {
        let names: Vec<_> = self.topics.iter().map(|(_, name)| &**name).collect();
        self.consumer.subscribe(&names)
    }

    /// Returns what comes next. It polls, and so must be awaited even while no record is
    /// wanted: then after [`Self::pause`]. May be dropped while it waits.
    pub async fn next(&mut self) -> Polled {
        loop {
            let revoked = self.take_revoked();
            if !revoked.is_empty() {
                return Polled::Revoked(revoked);
            }
            if let Some(record) = self.stashed.take() {
                return Polled::Record(record);
            }
            self.stashed = self.receive().await;
        }
    }

    /// Returns a record that is here already, unless a revocation comes before it.
    pub fn next_if_any(&mut self) -> Option<Record> {
        while self.stashed.is_none() && !self.consumer.context().has_revoked() {
            let received = self.consumer.recv().now_or_never()?;
            self.stashed = self.read(received);
        }
        if self.consumer.context().has_revoked() { None } else { self.stashed.take() }
    }

    /// Waits for a record, or for a poll in which partitions were revoked. librdkafka hands
    /// out neither records nor callbacks but inside a poll, one after the other. A revoked
    /// partition's records are gone from its queue before the callback returns. So a record
    /// out of the poll of a revocation belongs behind it.
    async fn receive(&self) -> Option<Record> {
        let mut receiving = pin!(self.consumer.recv());
        let received = poll_fn(|context| match receiving.as_mut().poll(context) {
            Poll::Ready(received) => Poll::Ready(Some(received)),
            Poll::Pending if self.consumer.context().has_revoked() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        self.read(received.await?)
    }

    /// Remembers the offsets after these, and commits them without waiting for the brokers:
    /// at once, or at [`Self::commit_due`] where the last commit was a moment ago. A commit
    /// costs the broker as much as a transaction, and where it is missing the records are
    /// only read once more.
    pub fn commit<'a>(&mut self, next_offsets: impl Iterator<Item = (&'a Partition, i64)>) {
        for (partition, offset) in next_offsets {
            self.committed.insert(partition.clone(), offset);
        }
        if self.next_commit <= Instant::now() {
            self.commit_now();
        } else {
            self.commit_due = Some(self.next_commit);
        }
    }

    /// When [`Self::commit_now`] is to be called; `None` while everything is committed.
    pub fn commit_due(&self) -> Option<Instant> {
        self.commit_due
    }

    /// Commits whatever is remembered, without waiting for the brokers.
    pub fn commit_now(&mut self) {
        self.commit_due = None;
        self.next_commit = Instant::now() + BETWEEN_COMMITS;
        self.commit_all(CommitMode::Async);
    }

    /// What is due once in a while: commits again what failed, and moves the group
    /// beyond the transaction markers at a partition's end, so that everybody's tools
    /// show a lag of 0.
    pub fn refresh_commits(&mut self) {
        let markers = self.consumer.context().take_beyond_markers();
        let moved = markers.into_iter().filter(|(partition, offset)| {
            self.committed.get(partition).is_some_and(|committed| committed < offset)
        });
        let moved: Vec<_> = moved.collect();
        let failed = self.consumer.context().take_commit_failed();
        self.committed.extend(moved.iter().cloned());
        if failed || !moved.is_empty() {
            self.commit_now();
        }
    }

    /// Partitions taken away since the last call. Their offsets are not ours any more.
    fn take_revoked(&mut self) -> Vec<Partition> {
        let revoked = self.consumer.context().take_revoked();
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
        let group = self.consumer.context();
        for (partition, offset) in &self.committed {
            if group.is_revoked(partition) {
                continue;
            }
            let offset = Offset::Offset(*offset);
            // Fails only for offsets that no record can have.
            let _ = offsets.add_partition_offset(&partition.topic, partition.partition, offset);
        }
        if offsets.count() == 0 {
            return;
        }
        // MySQL holds the rows already. What is not committed is read again, and changes nothing.
        if let Err(error) = self.consumer.commit(&offsets, mode) {
            self.consumer.context().commit_failed(&error);
        }
    }

    fn read(&self, received: Result<BorrowedMessage<'_>, KafkaError>) -> Option<Record> {
        let group = self.consumer.context();
        match received {
            Ok(message) => {
                let (domain, topic) =
                    self.topics.iter().find(|(_, topic)| **topic == *message.topic())?;
                let record = Record::from_message(&message, *domain, topic.clone());
                group.received(&record);
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
    let mut properties = client(&config.kafka);
    properties
        .set("group.id", &config.group.kafka_group_id)
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
        // No fetch may wait in the kernel until the request before it is acknowledged.
        .set("socket.nagle.disable", "true")
        // What librdkafka may hold beside our own batches, and no pause once it is full.
        .set("queued.max.messages.kbytes", "1024")
        .set("queued.min.messages", "10000")
        .set("fetch.max.bytes", "1048576")
        .set("fetch.queue.backoff.ms", "5")
        .set("statistics.interval.ms", "1000");
    properties
}

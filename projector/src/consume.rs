//! Records out of Kafka, committed ones only, from where MySQL says that it is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::FutureExt;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::event::Domain;
use shared::process::Dependency;
use tokio::time::Instant;

use crate::batch::Position;
use crate::checkup::Checkup;
use crate::commits::Commits;
use crate::config::Config;
use crate::consumer_properties::properties;
use crate::fencing::Fencings;
use crate::group::{Change, Group, unassign};
use crate::locate::{Answers, Unanswered};
use crate::locator::Locator;
use crate::metrics::Metrics;
use crate::places::{Admission, Places};
use crate::receive::receive;
use crate::record::{Partition, Record};
use crate::strand::Watch;
use crate::tables::LossRow;
use crate::thread::detached;

/// Leaving the group takes some milliseconds, or for ever.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a partition is read again: MySQL went back in time, or the topic is another one.
const MYSQL: &str = "mysql";
const TOPIC: &str = "topic";

/// What the group hands out, in the one order in which it happened: behind a revocation
/// there is no record of the assignment that it ended.
#[derive(Debug)]
pub enum Polled {
    Record(Record),
    /// Partitions taken from us: their records and offsets belong to the next owner, which
    /// may be ourselves a moment later.
    Revoked(Vec<Partition>),
    /// The consumer does nothing any more: another member has its name, for instance, or had
    /// it a moment ago.
    Failed(KafkaError),
}

/// The consumer of the five topics.
pub struct Source {
    consumer: Arc<StreamConsumer<Group>>,
    properties: ClientConfig,
    /// With the names the topics have on this cluster.
    topics: Vec<(Domain, Arc<str>)>,
    places: Places,
    locator: Locator,
    commits: Commits,
    /// Came out of the same poll as a change of the assignment, behind it.
    stashed: Option<Record>,
    /// Taken from the pipeline by ourselves, to be read anew.
    withdrawn: Vec<Partition>,
    watch: Watch,
    fencings: Fencings,
    has_broker: Arc<AtomicBool>,
    kafka: Dependency,
    mysql: Dependency,
    metrics: Metrics,
}

impl Source {
    /// Begins to connect: poll from now on, or what librdkafka reports meanwhile is old
    /// news by the time it is heard.
    ///
    /// # Errors
    /// Where the settings are not usable.
    pub fn new(
        config: &Config,
        metrics: Metrics,
        kafka: Dependency,
        mysql: Dependency,
    ) -> KafkaResult<Self> {
        let properties = properties(config);
        let has_broker = Arc::<AtomicBool>::default();
        let group = Group::new(metrics.lag.clone(), kafka.clone(), has_broker.clone());
        let topics = Domain::ALL.into_iter();
        let topics = topics.map(|domain| (domain, config.kafka.topic(domain.topic()).into()));
        let topics: Vec<(_, Arc<str>)> = topics.collect();
        // As for every counter: it begins at zero, not at its first increase.
        for (_, topic) in &topics {
            for cause in [MYSQL, TOPIC] {
                metrics.rewound.with_label_values(&[&**topic, cause]);
            }
        }
        Ok(Self {
            consumer: Arc::new(properties.create_with_context(group)?),
            properties,
            topics,
            places: Places::default(),
            locator: Locator::new(config.mysql.clone()),
            commits: Commits::default(),
            stashed: None,
            withdrawn: Vec::new(),
            fencings: Fencings::new(config),
            watch: Watch::start(&config.kafka.kafka_bootstrap_servers, has_broker.clone()),
            has_broker,
            kafka,
            mysql,
            metrics,
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
            if let Some(revoked) = self.take_changes() {
                return Polled::Revoked(revoked);
            }
            if let Some(error) = self.consumer.context().take_fatal() {
                return Polled::Failed(error);
            }
            if let Some(record) = self.stashed.take().and_then(|record| self.admit(record)) {
                return Polled::Record(record);
            }
            if self.locator.is_idle() {
                self.locator.begin(&self.consumer, self.places.wanted());
            }
            tokio::select! {
                answered = self.locator.answered() => self.located(answered),
                record = receive(&self.consumer, &self.topics) => self.stashed = record,
            }
        }
    }

    /// Returns a record that is here already, unless something else comes before it.
    pub fn next_if_any(&mut self) -> Option<Record> {
        while self.withdrawn.is_empty() {
            let received = receive(&self.consumer, &self.topics).now_or_never()?;
            self.stashed = received;
            if self.consumer.context().has_changes() {
                return None;
            }
            if let Some(record) = self.stashed.take().and_then(|record| self.admit(record)) {
                return Some(record);
            }
        }
        None
    }

    /// What came and went since the last call; the partitions of ours that went, if any.
    fn take_changes(&mut self) -> Option<Vec<Partition>> {
        let mut gone = std::mem::take(&mut self.withdrawn);
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Assigned(partitions) => {
                    for partition in partitions {
                        self.places.insert(partition, None);
                    }
                }
                Change::Revoked(partitions) => {
                    for partition in &partitions {
                        self.places.remove(partition);
                        self.commits.remove(partition);
                        self.metrics.losses.forget(partition);
                    }
                    gone.extend(partitions);
                }
            }
        }
        (!gone.is_empty()).then_some(gone)
    }

    fn admit(&mut self, record: Record) -> Option<Record> {
        let (record, committed) = match self.places.admit(record) {
            Admission::Skipped => return None,
            Admission::Foreign(partition) => {
                self.stop_reading(std::slice::from_ref(&partition));
                self.metrics.lag.assigned(partition);
                return None;
            }
            Admission::Taken(record) => (record, None),
            Admission::Again(record, committed) => (record, Some(committed)),
        };
        self.metrics.lag.taken(&record.partition, record.offset);
        if let Some(committed) = committed {
            self.rewound(&record.partition, MYSQL, record.offset, committed);
        }
        Some(record)
    }

    fn stop_reading(&self, partitions: &[Partition]) {
        // It fails only for a consumer that is closed.
        if let Err(error) = unassign(&*self.consumer, partitions) {
            tracing::warn!(%error, "partitions are not given up");
        }
    }

    /// From here on the partitions are read that were located.
    fn located(&mut self, answered: Result<Answers, Unanswered>) {
        let Answers { answers, losses } = match answered {
            Ok(answers) => answers,
            Err(Unanswered::Kafka(error)) => {
                // AllBrokersDown says it better, and a topic may just have been deleted.
                tracing::debug!(%error, "the topics' ends are not known");
                return;
            }
            Err(Unanswered::Mysql(error)) => return self.mysql.down(error),
        };
        self.mysql.up();
        let mut list = TopicPartitionList::new();
        for (partition, (wanted, answer)) in answers {
            let start = &answer.start;
            if !start.lost.is_empty() {
                self.metrics.losses.noticed(&partition, &start.lost);
            }
            if !self.places.locate(&partition, &wanted, start, answer.committed) {
                continue;
            }
            if start.is_another_log {
                self.rewound(&partition, TOPIC, start.at, answer.committed.unwrap_or_default());
            }
            let at = Offset::Offset(start.at);
            // Fails only for offsets that no record can have.
            let _ = list.add_partition_offset(&partition.topic, partition.partition, at);
            self.commits.located(&partition, start.next, answer.committed);
            self.metrics.lag.located(&partition, start.next);
        }
        self.set_losses(&losses);
        if let Err(error) = self.consumer.incremental_assign(&list) {
            // Revoked at this very moment, all of them: who comes next begins anew.
            tracing::warn!(%error, "partitions are not read yet");
            self.read_anew();
        }
    }

    /// Once for each partition and rewinding.
    fn rewound(&self, partition: &Partition, cause: &str, from: i64, committed: i64) {
        let Partition { topic, partition } = partition;
        self.metrics.rewound.with_label_values(&[&**topic, cause]).inc();
        let what = match cause {
            TOPIC => "the topic was deleted and created again: reading it from its beginning",
            _ => "MySQL went back in time, or is another one: reading again what it lacks",
        };
        tracing::warn!(topic = &**topic, partition, from, committed, "{what}");
    }

    /// What MySQL must at least show of the partitions that are read, and how far they are
    /// dealt with beyond their last record.
    pub fn checkup(&mut self) -> Checkup {
        let floors = self.places.floors();
        let reached = self.commits.beyond(&floors);
        Checkup { floors, reached }
    }

    /// Those that nobody has acknowledged, as MySQL has them now.
    pub fn set_losses(&mut self, losses: &[LossRow]) {
        let ours: Vec<_> = self.places.partitions().collect();
        self.metrics.losses.set(&ours, losses);
        for partition in ours {
            let losses = losses.iter().filter(|loss| loss.is_of(partition));
            let ranges = losses.map(|loss| loss.from_offset..loss.to_offset);
            self.commits.set_lost(partition, ranges.collect());
        }
    }

    /// Locates all partitions again. What was taken of them is revoked by [`Self::next`].
    pub fn read_anew(&mut self) {
        let all: Vec<_> = self.places.partitions().cloned().collect();
        self.stop_reading(&all);
        for partition in &all {
            self.places.insert(partition.clone(), None);
            self.commits.remove(partition);
            self.metrics.lag.assigned(partition.clone());
        }
        self.withdrawn.extend(all);
    }

    /// Notes that all up to here is dealt with, and commits it: see [`Commits`].
    pub fn commit<'a>(&mut self, positions: impl Iterator<Item = (&'a Partition, &'a Position)>) {
        for (partition, position) in positions {
            self.metrics.lag.applied(partition, position.offset, position.system_time());
            self.places.applied(partition, position.offset);
            self.commits.applied(partition, position.offset);
        }
        self.commits.soon(&self.consumer);
    }

    /// When [`Self::commit_now`] is to be called; `None` while everything is committed.
    pub fn commit_due(&self) -> Option<Instant> {
        self.commits.due()
    }

    /// Commits whatever is remembered, without waiting for the brokers.
    pub fn commit_now(&mut self) {
        self.commits.now(&self.consumer);
    }

    /// What is due once in a while: commits again what failed, moves the group beyond the
    /// transaction markers at a partition's end, so that everybody's tools show a lag of 0,
    /// replaces a consumer that has lost its brokers, and looks again where reading stands if
    /// that is in doubt.
    ///
    /// # Errors
    /// Where no consumer can be made.
    pub fn refresh(&mut self) -> KafkaResult<()> {
        if self.watch.is_stranded() {
            self.replace("it finds no broker, although one accepts connections")?;
        }
        if self.consumer.context().take_suspicion() {
            self.read_anew();
        }
        self.commits.refresh(&self.consumer);
        Ok(())
    }

    /// Joins the group anew after another member has taken our name. Returns whether that is
    /// worth trying.
    ///
    /// # Errors
    /// Where no consumer can be made.
    pub fn rejoin(&mut self) -> KafkaResult<bool> {
        if self.fencings.count() >= Fencings::BY_ANOTHER {
            return Ok(false);
        }
        self.replace("another member has its name")?;
        Ok(true)
    }

    /// A consumer that will never do anything again gives way to a new one.
    fn replace(&mut self, reason: &str) -> KafkaResult<()> {
        tracing::warn!(reason, "a new consumer takes over");
        self.metrics.replaced.inc();
        let (lag, kafka) = (self.metrics.lag.clone(), self.kafka.clone());
        let group = Group::new(lag, kafka, self.has_broker.clone());
        let consumer = Arc::new(self.properties.create_with_context(group)?);
        let old = std::mem::replace(&mut self.consumer, consumer);
        old.context().retire();
        // It may hang in there.
        drop(detached("kafka-drop", move || drop(old)));
        self.stashed = None;
        self.locator.cancel();
        let all = self.places.clear();
        for partition in &all {
            self.commits.remove(partition);
            self.metrics.losses.forget(partition);
            self.metrics.lag.revoked(partition);
        }
        self.withdrawn.extend(all);
        self.subscribe()
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

    /// Commits for the last time and leaves the group. Waits some seconds at most: the group
    /// notices by itself that a member is gone.
    pub async fn close(mut self) {
        self.locator.cancel();
        let (commits, consumer) = (self.commits, self.consumer);
        let closing = detached("kafka-close", move || {
            commits.last(&consumer);
            drop(consumer);
        });
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("the brokers do not answer: the group is not left");
        }
    }
}

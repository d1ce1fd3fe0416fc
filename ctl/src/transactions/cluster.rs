//! Brokers, partitions, and how far readers can see. The methods block.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataTopic;
use shared::process::KafkaSettings;

use super::history::LOG;
use super::wire::Address;
use crate::servers::{self, PATIENCE};

#[derive(Clone)]
pub struct Cluster(Arc<Readers>);

struct Readers {
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
}

/// The cluster at one moment.
pub struct Layout {
    pub brokers: BTreeMap<i32, Address>,
    pub topics: BTreeMap<String, Vec<Partition>>,
    /// Why not every transactional id has a coordinator now, if so.
    pub without_coordinator: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Partition {
    pub id: i32,
    pub leader: Option<i32>,
}

/// Of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// A read_committed reader sees what lies before it.
    pub stable: i64,
    pub end: i64,
}

impl Layout {
    /// Whether any partition is wanted.
    pub fn holds(&self, wanted: impl Fn(&str, i32) -> bool) -> bool {
        self.topics.iter().any(|(topic, all)| all.iter().any(|it| wanted(topic, it.id)))
    }
}

impl Cluster {
    /// # Errors
    /// If librdkafka does not take the settings. Whether a broker answers shows later.
    pub fn new(settings: &KafkaSettings) -> KafkaResult<Self> {
        let reader = |isolation: &str| {
            servers::kafka(settings)
                .set("group.id", "outboxctl")
                .set("enable.auto.commit", "false")
                .set("isolation.level", isolation)
                .create()
        };
        let (committed, uncommitted) = (reader("read_committed")?, reader("read_uncommitted")?);
        Ok(Self(Arc::new(Readers { committed, uncommitted })))
    }

    /// # Errors
    /// If no broker answers.
    pub async fn layout(&self) -> KafkaResult<Layout> {
        let fetching = self.blocking(|readers| {
            let metadata = readers.uncommitted.fetch_metadata(None, PATIENCE)?;
            let brokers = metadata.brokers().iter().filter_map(|broker| {
                let port = u16::try_from(broker.port()).ok()?;
                Some((broker.id(), Address { host: broker.host().to_owned(), port }))
            });
            let topics = metadata.topics().iter();
            let topics: BTreeMap<_, _> =
                topics.map(|topic| (topic.name().to_owned(), partitions(topic))).collect();
            let without_coordinator = without_coordinator(&topics);
            Ok(Layout { brokers: brokers.collect(), topics, without_coordinator })
        });
        fetching.await
    }

    /// # Errors
    /// If the partition's leader does not answer.
    pub async fn ends(&self, topic: &str, partition: i32) -> KafkaResult<Ends> {
        let topic = topic.to_owned();
        self.blocking(move |readers| {
            let (_, stable) = readers.committed.fetch_watermarks(&topic, partition, PATIENCE)?;
            let (_, end) = readers.uncommitted.fetch_watermarks(&topic, partition, PATIENCE)?;
            Ok(Ends { stable, end })
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Readers) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let readers = Arc::clone(&self.0);
        let working = tokio::task::spawn_blocking(move || work(&readers));
        working.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

fn partitions(topic: &MetadataTopic) -> Vec<Partition> {
    let partition = |it: &rdkafka::metadata::MetadataPartition| Partition {
        id: it.id(),
        leader: (it.leader() >= 0).then(|| it.leader()),
    };
    topic.partitions().iter().map(partition).collect()
}

/// A coordinator is the leader of a partition of its log.
fn without_coordinator(topics: &BTreeMap<String, Vec<Partition>>) -> Option<String> {
    let Some(partitions) = topics.get(LOG).filter(|it| !it.is_empty()) else {
        return Some(format!("{LOG} is not there, or may not be described"));
    };
    let orphan = partitions.iter().find(|it| it.leader.is_none())?;
    Some(format!("{LOG}-{} has no leader", orphan.id))
}

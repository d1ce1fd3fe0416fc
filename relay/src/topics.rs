//! The topics: created with the settings the relay needs, never altered afterwards.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::Shard;
use shared::event::Domain;
use shared::process::KafkaSettings;

use crate::config::Config;
use crate::kafka::{Watch, client_config};

/// The names on this cluster.
#[derive(Debug, Clone)]
pub struct Topics {
    events: [(Domain, String); Domain::ALL.len()],
    pub checkpoint: String,
}

impl Topics {
    pub fn new(kafka: &KafkaSettings, checkpoint: &str) -> Self {
        Self {
            events: Domain::ALL.map(|domain| (domain, kafka.topic(domain.topic()))),
            checkpoint: kafka.topic(checkpoint),
        }
    }

    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|(_, name)| name.as_str())
    }

    /// The topic on this cluster for the contract's name; `None` where that is none of
    /// the five.
    pub fn of(&self, topic: &str) -> Option<(Domain, &str)> {
        let found = self.events.iter().find(|(domain, _)| domain.topic() == topic)?;
        Some((found.0, &found.1))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("topic {topic} cannot be created: {code}")]
    Refused { topic: String, code: RDKafkaErrorCode },
}

/// Creates what is missing.
///
/// # Errors
/// [`TopicError`]; a topic that exists already is none.
pub async fn ensure(config: &Config, topics: &Topics, watch: Watch) -> Result<(), TopicError> {
    let admin = AdminClient::from_config_and_context(&client_config(config), watch)?;
    let replication = || TopicReplication::Fixed(config.topic_replication);
    let max_bytes = config.largest_record().to_string();
    let mut wanted: Vec<_> = topics
        .events()
        .map(|name| {
            NewTopic::new(name, config.topic_partitions, replication())
                .set("max.message.bytes", &max_bytes)
        })
        .collect();
    let shards = i32::try_from(Shard::MAX).unwrap_or(1);
    wanted.push(
        NewTopic::new(&topics.checkpoint, shards, replication())
            .set("cleanup.policy", "compact")
            // A record a transaction: without these it would grow to a segment of 1 GB
            // before it is compacted for the first time.
            .set("segment.bytes", "16777216")
            .set("min.cleanable.dirty.ratio", "0.01"),
    );
    let options = AdminOptions::new()
        .request_timeout(Some(Duration::from_secs(5)))
        .operation_timeout(Some(Duration::from_secs(5)));
    for outcome in admin.create_topics(&wanted, &options).await? {
        match outcome {
            Ok(topic) => tracing::info!(topic, "created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicError::Refused { topic, code }),
        }
    }
    Ok(())
}

//! The dead-letter topic: looked for, and created where it is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::dead_letter::MAX_MESSAGE_BYTES;
use crate::quiet::Quiet;

/// A broker that does not answer in this time is asked again.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct LetterTopic {
    settings: ClientConfig,
    name: String,
    replication: i32,
    /// What is unfit about it is said once.
    is_inspected: AtomicBool,
}

impl LetterTopic {
    pub(crate) fn new(settings: ClientConfig, name: String, replication: i32) -> Self {
        Self { settings, name, replication, is_inspected: AtomicBool::new(false) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Looks first: an account without the right to create topics is told that it has none
    /// although the topic is there.
    ///
    /// # Errors
    /// Where Kafka cannot be reached, or the topic is missing and may not be created.
    pub(crate) async fn ensure(&self) -> KafkaResult<()> {
        // A new one each time: it may be needed because the last one lost its brokers.
        let admin: Arc<AdminClient<Quiet>> = Arc::new(self.settings.create_with_context(Quiet)?);
        if !self.is_there(admin.clone()).await? {
            return self.create(&admin).await;
        }
        if !self.is_inspected.swap(true, Ordering::Relaxed)
            && let Err(error) = self.inspect(&admin).await
        {
            tracing::debug!(%error, "the settings of the dead-letter topic cannot be read");
        }
        Ok(())
    }

    /// All topics are asked for: to ask for one by its name may create it.
    async fn is_there(&self, admin: Arc<AdminClient<Quiet>>) -> KafkaResult<bool> {
        let name = self.name.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
            Ok(metadata.topics().iter().any(|topic| topic.name() == name))
        });
        // It ends only by a panic, which is logged where it happened.
        looking.await.unwrap_or(Err(KafkaError::Canceled))
    }

    async fn create(&self, admin: &AdminClient<Quiet>) -> KafkaResult<()> {
        let topic = NewTopic::new(&self.name, 1, TopicReplication::Fixed(self.replication))
            .set("max.message.bytes", MAX_MESSAGE_BYTES)
            // They wait for a human.
            .set("retention.ms", "-1");
        for result in admin.create_topics([&topic], &options()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(KafkaError::AdminOp(code)),
            }
        }
        Ok(())
    }

    async fn inspect(&self, admin: &AdminClient<Quiet>) -> KafkaResult<()> {
        let topic = ResourceSpecifier::Topic(&self.name);
        for described in admin.describe_configs([&topic], &options()).await? {
            let settings = described.map_err(KafkaError::AdminOp)?;
            let value = |name| settings.get(name).and_then(|entry| entry.value.as_deref());
            let number = |name| value(name).and_then(|value| value.parse::<i64>().ok());
            let wanted = MAX_MESSAGE_BYTES.parse().unwrap_or(i64::MAX);
            if let Some(bytes) = number("max.message.bytes").filter(|bytes| *bytes < wanted) {
                tracing::warn!(
                    topic = self.name,
                    bytes,
                    wanted,
                    "max.message.bytes is small: larger letters are sent without their value"
                );
            }
            if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
                tracing::warn!(
                    topic = self.name,
                    "compacted: letters of one key replace each other"
                );
            }
            if let Some(retention) = number("retention.ms").filter(|it| *it >= 0) {
                tracing::warn!(
                    topic = self.name,
                    retention,
                    "letters are deleted after retention.ms"
                );
            }
        }
        Ok(())
    }
}

/// Without a timeout of ours a request that is lost on a broker's first seconds is
/// awaited for a minute.
fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

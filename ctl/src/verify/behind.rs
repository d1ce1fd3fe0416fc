//! Versions that are in the topics, but not yet in MySQL.
//!
//! A repair gives each document a version above the one that its row shows. After a restore
//! of MongoDB the topics may hold later ones still, of writes that the documents have lost:
//! so the projectors read those first.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use shared::process::{GroupSettings, KafkaSettings};

use super::VerifyError;
use super::verifier::Patience;
use crate::offsets;
use crate::terminal::Progress;

/// Between two looks at how far the projectors have come.
const LOOK: Duration = Duration::from_millis(500);

/// Returns once the projectors have read what the topics hold now.
///
/// # Errors
/// [`VerifyError::Behind`]: they have not within the patience.
pub async fn await_projectors(
    kafka: &KafkaSettings,
    group: &GroupSettings,
    progress: &Progress,
    patience: Patience,
) -> Result<(), VerifyError> {
    let deadline = Instant::now() + patience.longest();
    let group = &group.kafka_group_id;
    let (settings, name) = (kafka.clone(), group.clone());
    let ask = move || offsets::held(&settings, &name);
    let held = answered(ask, deadline).await?;
    loop {
        let (settings, name, held) = (kafka.clone(), group.clone(), held.clone());
        let ask = move || offsets::left(&settings, &name, &held);
        let left = answered(ask, deadline).await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(VerifyError::Behind(left));
        }
        progress.stage("waiting for the projectors");
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks until the brokers answer: a topic that was just created has no leader yet.
async fn answered<T: Send + 'static>(
    ask: impl Fn() -> Result<T, KafkaError> + Clone + Send + 'static,
    deadline: Instant,
) -> Result<T, KafkaError> {
    loop {
        let asking = tokio::task::spawn_blocking(ask.clone());
        match asking.await.unwrap_or(Err(KafkaError::Canceled)) {
            Err(error) if Instant::now() < deadline => {
                tracing::debug!(%error, "Kafka is asked again");
                tokio::time::sleep(LOOK).await;
            }
            answer => return answer,
        }
    }
}

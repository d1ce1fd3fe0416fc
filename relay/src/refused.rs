//! How many dead letters lie in Kafka, for the metric and the watermark. The leader counts,
//! since one count is enough.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use rdkafka::error::KafkaError;
use shared::event::DEAD_LETTER_TOPIC;
use tokio::time::sleep;

use crate::Relay;
use crate::kafka::reader_config;
use crate::letters::Letters;

/// How often the topic is looked at. Only what is new is read.
const EVERY: Duration = Duration::from_secs(2);

/// The newest count; `None` is unknown. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Refused(Arc<Mutex<Option<u64>>>);

/// Counts until the process stops.
pub async fn run(relay: &Relay) {
    let mut letters = None;
    loop {
        letters = match relay.metrics.leader.get() {
            1 => count_letters(relay, letters.take()).await,
            _ => None,
        };
        *relay.metrics.refused.lock() = letters.as_ref().and_then(|(_, count)| *count);
        sleep(EVERY).await;
    }
}

type Counted = (Letters, Option<u64>);

/// `None` where Kafka gave no answer; then the next look begins with a new client.
async fn count_letters(relay: &Relay, before: Option<Counted>) -> Option<Counted> {
    let settings = reader_config(&relay.config);
    let topic = relay.config.kafka.topic(DEAD_LETTER_TOPIC);
    let counting = tokio::task::spawn_blocking(move || {
        let mut letters = match before {
            Some((letters, _)) => letters,
            None => Letters::new(&settings, topic)?,
        };
        let count = letters.count()?;
        Ok::<Counted, KafkaError>((letters, count))
    });
    match counting.await {
        Ok(Ok(counted)) => Some(counted),
        Ok(Err(error)) => {
            tracing::debug!(%error, "dead letters not counted");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a bug: counting the dead letters panicked");
            None
        }
    }
}

impl Refused {
    pub fn dead_letters(&self) -> Option<u64> {
        *self.lock()
    }

    /// The figure is whole after every assignment, so a panic cannot have harmed it.
    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `relay_dead_letters`, as last counted.
pub struct DeadLetters {
    refused: Refused,
    gauge: IntGauge,
}

impl DeadLetters {
    /// # Errors
    /// Never in practice: the name is well formed.
    pub fn of(refused: Refused) -> prometheus::Result<Self> {
        let gauge = IntGauge::new(
            "relay_dead_letters",
            "Records that lie in the dead-letter topic, counted by reading it; 10000 means so many or more. Absent on a standby and while unknown.",
        )?;
        Ok(Self { refused, gauge })
    }
}

impl Collector for DeadLetters {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(letters) = self.refused.dead_letters() else {
            return Vec::new();
        };
        self.gauge.set(i64::try_from(letters).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}

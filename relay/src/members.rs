//! How many instances of the projector run: the members of its consumer group, as Kafka's
//! coordinator knows them. The leader asks, for the watermark.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::time::sleep;

use crate::Relay;
use crate::kafka::{Client, reader_config};
use crate::letters::Quiet;

const EVERY: Duration = Duration::from_secs(2);
const CALL: Duration = Duration::from_secs(3);

/// The newest count; `None` is unknown. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Members(Arc<Mutex<Option<u32>>>);

impl Members {
    pub fn get(&self) -> Option<u32> {
        *self.lock()
    }

    /// True where the first one came, or the last one left, or either became unknown.
    fn set(&self, members: Option<u32>) -> bool {
        let before = std::mem::replace(&mut *self.lock(), members);
        before.map(|members| members == 0) != members.map(|members| members == 0)
    }

    /// A whole value is stored at a time, so a panic cannot have harmed it.
    fn lock(&self) -> MutexGuard<'_, Option<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks until the process stops.
pub async fn run(relay: &Relay) {
    let mut client = None;
    loop {
        let leads = relay.metrics.leader.get() == 1;
        client = if leads { ask(relay, client.take()).await } else { None };
        let members = client.as_ref().map(|(_, members)| *members);
        if relay.metrics.members.set(members) {
            relay.metrics.lag.tell();
        }
        sleep(EVERY).await;
    }
}

type Asked = (Client<BaseConsumer<Quiet>>, u32);

/// `None` where Kafka gave no answer; then the next call begins with a new client.
async fn ask(relay: &Relay, before: Option<Asked>) -> Option<Asked> {
    let settings = reader_config(&relay.config);
    let group = relay.config.group.kafka_group_id.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let consumer = match before {
            Some((consumer, _)) => consumer,
            None => Client::new(BaseConsumer::from_config_and_context(&settings, Quiet)?),
        };
        let found = consumer.fetch_group_list(Some(&group), CALL)?;
        // A group that nobody ever joined is not in the list.
        let members = found.groups().iter().map(|group| group.members().len()).sum::<usize>();
        Ok::<Asked, KafkaError>((consumer, u32::try_from(members).unwrap_or(u32::MAX)))
    });
    match asking.await {
        Ok(Ok(asked)) => Some(asked),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the projector's group is not known");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a bug: asking for the projector's group panicked");
            None
        }
    }
}

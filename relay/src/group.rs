//! What the projector's consumer group has committed: asked of Kafka without joining the
//! group.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::LostRanges;

use crate::Relay;
use crate::kafka::{Client, Watch, reader_config};
use crate::landing::{Ends, Place};
use crate::losses::Reported;

const CALL: Duration = Duration::from_secs(5);

/// How far the group is.
#[derive(Debug, Default)]
pub struct Committed {
    /// The offset behind what it has dealt with.
    pub ends: Ends,
    /// What was deleted before it could read it.
    pub lost: Reported,
}

/// The group, seen from outside. Its calls block, so they run off the async threads.
pub struct Group {
    consumer: Client<BaseConsumer<Watch>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("a bug: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Group {
    /// Connects to nobody yet.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub fn new(relay: &Relay, watch: Watch) -> Result<Self, GroupError> {
        let mut settings = reader_config(&relay.config);
        settings.set("group.id", &relay.config.group.kafka_group_id);
        let consumer = BaseConsumer::from_config_and_context(&settings, watch)?;
        Ok(Self { consumer: Client::new(consumer) })
    }

    /// What the group has committed; a partition where it has nothing is left out.
    ///
    /// # Errors
    /// Where Kafka is away, or the account may not see the group.
    pub async fn committed(&self, places: Vec<Place>) -> Result<Committed, GroupError> {
        self.ask(move |consumer| committed(consumer, &places)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Watch>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, GroupError> {
        let consumer = self.consumer.shared();
        let asking = tokio::task::spawn_blocking(move || {
            // Nothing is ever assigned: only what librdkafka reports of itself is served.
            consumer.poll(Duration::ZERO);
            question(&consumer)
        });
        Ok(asking.await??)
    }
}

fn committed(consumer: &BaseConsumer<Watch>, places: &[Place]) -> Result<Committed, KafkaError> {
    let mut wanted = TopicPartitionList::with_capacity(places.len());
    for place in places {
        wanted.add_partition(&place.topic, place.partition);
    }
    let answer = consumer.committed_offsets(wanted, CALL)?;
    let mut committed = Committed::default();
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            let place = Place { topic: element.topic().to_owned(), partition: element.partition() };
            let lost = LostRanges::from_metadata(element.metadata());
            committed.lost.extend(lost.iter().map(|range| (place.clone(), range.clone())));
            committed.ends.insert(place, offset);
        }
    }
    Ok(committed)
}

//! One Kafka transaction per batch: begin, produce all, produce the checkpoint,
//! commit. librdkafka's transaction calls block, so they run off the async threads.

use std::sync::Arc;

use rdkafka::message::{Header, OwnedHeaders};
use shared::event::{Domain, header};
use shared::outbox::StoredRecord;
use shared::process::Shutdown;
use tokio::task::JoinHandle;

use crate::batch::{Batch, Event};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::failure::{InitError, TransactionError};
use crate::kafka::Watch;
use crate::producer::{Producer, Record};
use crate::shard::Shard;
use crate::topics::Topics;

/// What came of a batch; either way it is handed back.
pub struct Outcome {
    pub batch: Batch,
    pub checkpoint: Checkpoint,
    pub result: Result<(), TransactionError>,
}

#[derive(Clone)]
pub struct Publisher {
    producer: Arc<Producer>,
    topics: Topics,
    shard: Shard,
}

impl Publisher {
    /// Talks to no server yet.
    ///
    /// # Errors
    /// [`InitError::Lost`] where librdkafka refuses a setting.
    pub fn new(
        config: &Config,
        topics: Topics,
        shard: Shard,
        watch: Watch,
        stop: Shutdown,
    ) -> Result<Self, InitError> {
        let producer = Producer::new(config, shard, watch, stop)
            .map_err(|error| InitError::Lost(error.to_string()))?;
        Ok(Self { producer: Arc::new(producer), topics, shard })
    }

    /// Claims the shard: see [`Producer::init_transactions`].
    ///
    /// # Errors
    /// [`InitError`].
    pub async fn claim(&self) -> Result<(), InitError> {
        let producer = self.producer.clone();
        let claimed = tokio::task::spawn_blocking(move || producer.init_transactions()).await;
        claimed.unwrap_or_else(|panic| Err(InitError::Lost(panic.to_string())))
    }

    /// Publishes the batch and the checkpoint as one atom. An empty batch moves only the
    /// checkpoint. Every event must be publishable ([`crate::dead::judge`]). It goes on
    /// to its end even if the handle is dropped; a later claim of the shard decides it.
    pub fn publish(&self, batch: Batch, checkpoint: Checkpoint) -> JoinHandle<Outcome> {
        let publisher = self.clone();
        tokio::task::spawn_blocking(move || {
            let result = publisher.transact(&batch, &checkpoint);
            Outcome { batch, checkpoint, result }
        })
    }

    fn transact(&self, batch: &Batch, checkpoint: &Checkpoint) -> Result<(), TransactionError> {
        let lost = |what: String| TransactionError::Lost(what);
        let encoded = checkpoint.encode().map_err(|error| lost(error.to_string()))?;
        let records: Option<Vec<_>> =
            batch.events().iter().map(|event| self.record(event)).collect();
        let mut records =
            records.ok_or_else(|| lost("an unpublishable record in a batch".to_owned()))?;
        records.push(Record {
            topic: &self.topics.checkpoint,
            partition: i32::try_from(self.shard.index()).ok(),
            key: &checkpoint.shard,
            value: &encoded,
            headers: OwnedHeaders::new(),
        });
        self.producer.transact(records)
    }

    fn record<'a>(&'a self, event: &'a Event) -> Option<Record<'a>> {
        let stored = event.record().ok()?;
        let (_, topic) = self.topics.of(stored.topic)?;
        Some(Record {
            topic,
            partition: None,
            key: stored.entity_id,
            value: stored.payload.as_bytes(),
            headers: headers(&stored),
        })
    }
}

fn headers(stored: &StoredRecord<'_>) -> OwnedHeaders {
    let mut id = uuid::Uuid::encode_buffer();
    let version = stored.version.to_string();
    let text = |key, value| Header { key, value: Some(value) };
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(text(header::EVENT_ID, &*stored.event_id.hyphenated().encode_lower(&mut id)))
        .insert(text(header::EVENT_TYPE, stored.event_type))
        .insert(text(header::VERSION, version.as_str()));
    match stored.traceparent {
        Some(traceparent) => headers.insert(text(header::TRACEPARENT, traceparent)),
        None => headers,
    }
}

/// How many events of each domain the batch holds.
pub fn per_domain(batch: &Batch) -> Vec<(Domain, u64)> {
    let mut counts = Domain::ALL.map(|domain| (domain, 0));
    for event in batch.events() {
        let topic = event.document().get_str(shared::outbox::field::TOPIC).unwrap_or_default();
        if let Some((_, count)) = counts.iter_mut().find(|(domain, _)| domain.topic() == topic) {
            *count += 1;
        }
    }
    counts.to_vec()
}

//! One Kafka transaction per batch: begin, produce all, produce the checkpoint,
//! commit. librdkafka's transaction calls block, so they run off the async threads.
//!
//! Two producers take turns. Kafka says that a transaction is committed once that is
//! decided, and tells the partitions afterwards; until then it refuses the producer's
//! next transaction, and librdkafka (2.12) waits 20 ms before it asks again: five times
//! as long as the whole transaction takes. The other producer can begin at once.
//! Nothing else changes by that: a transaction begins only when the one before it is
//! decided, so the order stays, and whoever claims the shard fences both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::message::{Header, OwnedHeaders};
use shared::Shard;
use shared::event::{Domain, header};
use shared::outbox::StoredRecord;
use shared::process::Shutdown;
use tokio::task::JoinHandle;

use crate::batch::{Batch, Event};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::failure::{InitError, TransactionError};
use crate::kafka::Watch;
use crate::landing::Landing;
use crate::producer::{Producer, Record};
use crate::topics::Topics;

const PRODUCERS: usize = 2;

/// What came of a batch; either way it is handed back.
pub struct Outcome {
    pub batch: Batch,
    pub checkpoint: Checkpoint,
    /// Where the events lie.
    pub result: Result<Landing, TransactionError>,
}

#[derive(Clone)]
pub struct Publisher {
    producers: [Arc<Producer>; PRODUCERS],
    /// How many transactions were committed. One that failed is followed by another of
    /// the same producer, which has to get over it.
    committed: Arc<AtomicUsize>,
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
        let producer = |turn| {
            Producer::new(config, shard, turn, watch.clone(), stop.clone())
                .map(Arc::new)
                .map_err(|error| InitError::Lost(error.to_string()))
        };
        let producers = [producer(0)?, producer(1)?];
        Ok(Self { producers, committed: Arc::default(), topics, shard })
    }

    /// Claims the shard: see [`Producer::init_transactions`].
    ///
    /// # Errors
    /// [`InitError`].
    pub async fn claim(&self) -> Result<(), InitError> {
        let claims = self.producers.clone().map(|producer| async move {
            let claimed = tokio::task::spawn_blocking(move || producer.init_transactions()).await;
            claimed.unwrap_or_else(|panic| Err(InitError::Lost(panic.to_string())))
        });
        futures::future::join_all(claims).await.into_iter().collect()
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

    fn transact(
        &self,
        batch: &Batch,
        checkpoint: &Checkpoint,
    ) -> Result<Landing, TransactionError> {
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
        let turn = self.committed.load(Ordering::Relaxed) % PRODUCERS;
        let landed = self.producers[turn].transact(records)?;
        self.committed.fetch_add(1, Ordering::Relaxed);
        Ok(landed.without(&self.topics.checkpoint))
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

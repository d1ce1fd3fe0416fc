//! One Kafka transaction per batch: begin, produce all, produce the checkpoint,
//! commit. librdkafka's transaction calls block, so they run off the async threads: on one
//! thread for all of a session. The allocator keeps for each thread what that once needed,
//! and a pool would take another one for each transaction.
//!
//! Two producers take turns. Kafka says that a transaction is committed once that is
//! decided, and tells the partitions afterwards; until then it refuses the producer's
//! next transaction, and librdkafka (2.12) waits 20 ms before it asks again: five times
//! as long as the whole transaction takes. The other producer can begin at once.
//! Nothing else changes by that: a transaction begins only when the one before it is
//! decided, so the order stays, and whoever claims the shard fences both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use shared::Shard;
use shared::event::{Domain, header};
use shared::outbox::StoredRecord;
use shared::process::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::dead::{Publishable, Unpublishable, judge};
use crate::failure::{InitError, TransactionError};
use crate::kafka::Watch;
use crate::landing::Landing;
use crate::producer::{Producer, Record, Transaction};
use crate::topics::Topics;

const PRODUCERS: usize = 2;

/// Under a backlog the next portion of the same transaction may come this late. Reading
/// one takes half of it; a burst that ends just here is committed so much later.
const NEXT_PORTION: Duration = Duration::from_millis(50);

/// Events, and the checkpoint after them.
pub struct Portion {
    pub batch: Batch,
    pub checkpoint: Checkpoint,
}

/// What came of a transaction.
pub struct Outcome {
    /// `None` where nothing was begun.
    pub sent: Option<Sent>,
    /// Handed back as it came: Kafka will never take some records of the first of these.
    pub unsent: Vec<Portion>,
}

pub struct Sent {
    /// All events of the transaction, to be sent once more where it failed; `None` where
    /// they came in several portions, which are not kept.
    pub whole: Option<Batch>,
    /// After the last portion.
    pub checkpoint: Checkpoint,
    pub result: Result<Published, TransactionError>,
}

/// What was committed.
pub struct Published {
    /// Events of each domain.
    pub events: BTreeMap<Domain, u64>,
    /// Where they lie.
    pub landing: Landing,
}

/// Its thread ends with it, and with the transaction that is then under way.
pub struct Publisher {
    producers: [Arc<Producer>; PRODUCERS],
    jobs: mpsc::Sender<Job>,
}

/// A transaction to make.
struct Job {
    first: Portion,
    more: mpsc::Receiver<Portion>,
    outcome: oneshot::Sender<Outcome>,
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
        let limit = config.event_max_bytes as usize;
        let mut transactor =
            Transactor { producers: producers.clone(), committed: 0, topics, shard, limit };
        let (jobs, mut waiting) = mpsc::channel::<Job>(1);
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            while let Some(Job { first, more, outcome }) = waiting.blocking_recv() {
                // Nobody waits for it any more where the session has ended.
                outcome.send(transactor.transact(first, more, &runtime)).ok();
                transactor.prepare();
            }
        });
        Ok(Self { producers, jobs })
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

    /// Publishes `first`, and what `more` brings, and the checkpoint after the last of it
    /// as one atom. An empty batch moves only the checkpoint. The one before must be over.
    /// It goes on to its end even if the answer is not awaited; a later claim of the shard
    /// decides it. No answer comes where the thread has panicked.
    ///
    /// `more` is listened to for as long as portions follow each other without a pause:
    /// what Kafka does for each partition of each transaction costs it more than a thousand
    /// records, so a backlog goes in few large ones. A portion is forgotten once it is sent.
    pub fn publish(
        &self,
        first: Portion,
        more: mpsc::Receiver<Portion>,
    ) -> oneshot::Receiver<Outcome> {
        let (outcome, answer) = oneshot::channel();
        // Refused only where the thread is gone, and then the answer's channel is closed.
        self.jobs.try_send(Job { first, more, outcome }).ok();
        answer
    }
}

/// What the thread works with.
struct Transactor {
    producers: [Arc<Producer>; PRODUCERS],
    /// How many transactions were committed. One that failed is followed by another of
    /// the same producer, which has to get over it.
    committed: usize,
    topics: Topics,
    shard: Shard,
    /// Largest event in bytes.
    limit: usize,
}

impl Transactor {
    fn transact(
        &mut self,
        first: Portion,
        mut more: mpsc::Receiver<Portion>,
        runtime: &Handle,
    ) -> Outcome {
        let Ok(events) = self.judged(&first.batch) else {
            return Outcome { sent: None, unsent: portions(Some(first), more) };
        };
        let begun = self.next_producer().begin();
        let mut result = begun.and_then(|transaction| send_all(transaction, &events));
        let mut counts = BTreeMap::new();
        count(&events, &mut counts);
        drop(events);
        let (mut whole, mut checkpoint) = (Some(first.batch), first.checkpoint);
        let mut unpublishable = None;
        while let Ok(transaction) = result {
            let Some(next) = runtime.block_on(next_of(&mut more)) else {
                result = Ok(transaction);
                break;
            };
            let Ok(events) = self.judged(&next.batch) else {
                unpublishable = Some(next);
                result = Ok(transaction);
                break;
            };
            result = send_all(transaction, &events);
            count(&events, &mut counts);
            drop(events);
            (whole, checkpoint) = (None, next.checkpoint);
        }
        let committed = result.and_then(|transaction| self.commit(transaction, &checkpoint));
        self.committed += usize::from(committed.is_ok());
        let result = committed.map(|landing| Published { events: counts, landing });
        let sent = Sent { whole, checkpoint, result };
        Outcome { sent: Some(sent), unsent: portions(unpublishable, more) }
    }

    fn next_producer(&self) -> &Producer {
        &self.producers[self.committed % PRODUCERS]
    }

    /// For the next transaction, while there is time.
    fn prepare(&self) {
        if let Err(error) = self.next_producer().prepare() {
            tracing::debug!(%error, "the next transaction cannot begin yet");
        }
    }

    fn judged<'a>(&'a self, batch: &'a Batch) -> Result<Vec<Publishable<'a>>, Unpublishable> {
        batch.events().iter().map(|event| judge(event, &self.topics, self.limit)).collect()
    }

    fn commit(
        &self,
        mut transaction: Transaction<'_>,
        checkpoint: &Checkpoint,
    ) -> Result<Landing, TransactionError> {
        let encoded =
            checkpoint.encode().map_err(|error| TransactionError::Lost(error.to_string()))?;
        transaction.send(Record {
            topic: &self.topics.checkpoint,
            partition: i32::try_from(self.shard.index()).ok(),
            key: &checkpoint.shard,
            value: &encoded,
            headers: OwnedHeaders::new(),
        })?;
        Ok(transaction.commit()?.without(&self.topics.checkpoint))
    }
}

fn send_all<'a>(
    mut transaction: Transaction<'a>,
    events: &[Publishable<'_>],
) -> Result<Transaction<'a>, TransactionError> {
    for event in events {
        transaction.send(record(event))?;
    }
    Ok(transaction)
}

fn count(events: &[Publishable<'_>], counts: &mut BTreeMap<Domain, u64>) {
    for event in events {
        *counts.entry(event.domain).or_default() += 1;
    }
}

fn record<'a>(event: &Publishable<'a>) -> Record<'a> {
    Record {
        topic: event.topic,
        partition: None,
        key: event.record.entity_id,
        value: event.record.payload.as_bytes(),
        headers: headers(&event.record),
    }
}

/// `first`, and what was handed over behind it.
fn portions(first: Option<Portion>, mut more: mpsc::Receiver<Portion>) -> Vec<Portion> {
    more.close();
    first.into_iter().chain(std::iter::from_fn(|| more.try_recv().ok())).collect()
}

/// The next portion, if it comes without a pause; then no other one can follow.
async fn next_of(more: &mut mpsc::Receiver<Portion>) -> Option<Portion> {
    if more.is_closed() && more.is_empty() {
        return None;
    }
    if let Ok(next) = timeout(NEXT_PORTION, more.recv()).await {
        return next;
    }
    more.close();
    more.recv().await
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

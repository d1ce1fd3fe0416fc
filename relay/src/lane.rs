//! A thread that makes transactions. librdkafka's transaction calls block, so they run off
//! the async threads: on the same one or two for all of a session, because the allocator
//! keeps for each thread what that once needed, and a pool would take another one for each
//! transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use shared::Shard;
use shared::event::{Domain, header};
use shared::outbox::StoredRecord;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::dead::{Publishable, Unpublishable, judge};
use crate::failure::TransactionError;
use crate::landing::Landing;
use crate::producer::Producer;
use crate::publish::{Outcome, Portion, Published, Sent};
use crate::topics::Topics;
use crate::transaction::{Record, Transaction};

/// Under a backlog the next portion of the same transaction may come this late. Reading
/// one takes half of it; a burst that ends just here is committed so much later.
const NEXT_PORTION: Duration = Duration::from_millis(50);

/// A transaction to make, and whom to tell.
pub struct Job {
    pub producer: Arc<Producer>,
    pub first: Portion,
    /// Listened to for as long as portions follow each other without a pause.
    pub more: mpsc::Receiver<Portion>,
    pub order: Order,
    pub committed: oneshot::Sender<()>,
    pub outcome: oneshot::Sender<Outcome>,
}

/// Between a transaction and those before and after it.
pub struct Order {
    /// Says that the one before is committed; `None` where that is known.
    pub before: Option<oneshot::Receiver<()>>,
    /// Told once the brokers have all of it, if nothing of it was left over.
    pub delivered: oneshot::Sender<()>,
}

/// What the thread works with.
#[derive(Clone)]
pub struct Lane {
    pub topics: Topics,
    pub shard: Shard,
    /// Largest event in bytes.
    pub limit: usize,
}

impl Lane {
    /// Makes transactions, one at a time, until nobody can ask for any more. Each goes on to
    /// its end even if its outcome is not awaited.
    pub fn run(self, mut jobs: mpsc::Receiver<Job>, runtime: &Handle) {
        while let Some(job) = jobs.blocking_recv() {
            let Job { producer, first, more, order, committed, outcome } = job;
            let ended = self.transact(&producer, first, more, order, runtime);
            let is_committed = ended.is_committed();
            if is_committed {
                committed.send(()).ok();
            }
            // Nobody waits for it any more where the session has ended.
            outcome.send(ended).ok();
            // For this producer's next transaction, while there is time. After a failure that
            // may have begun already, on the other thread.
            if is_committed && let Err(error) = producer.prepare() {
                tracing::debug!(%error, "the next transaction cannot begin yet");
            }
        }
    }

    fn transact(
        &self,
        producer: &Producer,
        first: Portion,
        mut more: mpsc::Receiver<Portion>,
        order: Order,
        runtime: &Handle,
    ) -> Outcome {
        let Ok(events) = self.judged(&first.batch) else {
            return Outcome { sent: None, unsent: portions(Some(first), more) };
        };
        let begun = producer.begin();
        let mut result = begun.and_then(|transaction| send_all(transaction, &events));
        let mut counts = BTreeMap::new();
        count(&events, &mut counts);
        drop(events);
        let Portion { batch, mut checkpoint, mut is_written } = first;
        let mut whole = Some(batch);
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
            (whole, checkpoint, is_written) = (None, next.checkpoint, next.is_written);
        }
        let is_whole = unpublishable.is_none();
        let result = result
            .and_then(|transaction| {
                let checkpoint = is_written.then_some(&checkpoint);
                self.commit(transaction, checkpoint, order, is_whole)
            })
            .map(|landing| Published { events: counts, landing });
        let sent = Sent { whole, checkpoint, is_written, result };
        Outcome { sent: Some(sent), unsent: portions(unpublishable, more) }
    }

    fn judged<'a>(&'a self, batch: &'a Batch) -> Result<Vec<Publishable<'a>>, Unpublishable> {
        batch.events().iter().map(|event| judge(event, &self.topics, self.limit)).collect()
    }

    fn commit(
        &self,
        mut transaction: Transaction<'_>,
        checkpoint: Option<&Checkpoint>,
        Order { before, delivered }: Order,
        is_whole: bool,
    ) -> Result<Landing, TransactionError> {
        if let Some(checkpoint) = checkpoint {
            let encoded =
                checkpoint.encode().map_err(|error| TransactionError::Lost(error.to_string()))?;
            transaction.send(Record {
                topic: &self.topics.checkpoint,
                partition: i32::try_from(self.shard.index()).ok(),
                key: &checkpoint.shard,
                value: &encoded,
                headers: OwnedHeaders::new(),
            })?;
        }
        let complete = transaction.deliver()?;
        // What is left over comes first: then nothing may be sent yet.
        if is_whole {
            delivered.send(()).ok();
        }
        // It ends, whatever becomes of it: a transaction has a limit.
        if before.is_some_and(|committed| committed.blocking_recv().is_err()) {
            return Err(complete.abandon());
        }
        Ok(complete.commit()?.without(&self.topics.checkpoint))
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

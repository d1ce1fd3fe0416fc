//! The second stage: what becomes of a batch once it is read. It is judged, sent in one
//! transaction with its checkpoint, and acknowledged; the stage before reads on
//! meanwhile.

use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;
use shared::Timestamp;
use tokio::task::JoinHandle;

use crate::Relay;
use crate::batch::{Batch, Event};
use crate::checkpoint::{Checkpoint, Counters, Progress, Source};
use crate::dead::{self, Unpublishable};
use crate::failure::TransactionError;
use crate::landing::Landing;
use crate::position::Position;
use crate::publish::{Outcome, Publisher, per_domain};
use crate::session::Ended;
use crate::tail;

/// After a refusal librdkafka (2.12) goes on with sequence numbers that the broker never
/// saw, so the next transaction is aborted as out of order; only then it starts afresh.
const AFTER_A_REFUSAL: u32 = 3;

/// How far a batch brings us once it is acknowledged.
#[derive(Debug, Clone)]
pub struct Reached {
    pub progress: Progress,
    /// All committed before this moment is then published; unknown within a recovery.
    pub proven: Option<Timestamp>,
    /// Nothing more is left to publish, and the process stops.
    pub drained: bool,
}

/// One transaction at a time, under way or not.
pub struct Stage<'a> {
    relay: &'a Relay,
    publisher: Publisher,
    source: Source,
    division: u64,
    pub counters: Counters,
    /// Why the outbox is being swept, while it is: no position holds until that is over.
    recovering: Option<String>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    working: JoinHandle<Outcome>,
    begun: Instant,
}

impl<'a> Stage<'a> {
    pub fn new(
        relay: &'a Relay,
        publisher: Publisher,
        source: Source,
        division: u64,
        counters: Counters,
    ) -> Self {
        Self { relay, publisher, source, division, counters, recovering: None, under_way: None }
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// From here on checkpoints say that a recovery is under way; `None` ends that.
    pub fn set_recovering(&mut self, reason: Option<String>) {
        self.recovering = reason;
    }

    /// Sets aside what cannot be published and starts the transaction for the rest.
    /// Nothing may be under way.
    ///
    /// # Errors
    /// Where MongoDB is away just when a record must be set aside.
    pub async fn start(&mut self, mut batch: Batch) -> Result<(), Ended> {
        let Some(reached) = self.reached_by(&batch)? else {
            return Ok(());
        };
        self.set_aside(&mut batch).await?;
        self.commit(batch, reached);
        Ok(())
    }

    /// Writes the checkpoint alone. Nothing may be under way.
    pub fn start_checkpoint(&mut self, reached: Reached, limits: crate::batch::Limits) {
        self.commit(Batch::new(limits), reached);
    }

    fn commit(&mut self, batch: Batch, reached: Reached) {
        let checkpoint = self.checkpoint(&batch, reached);
        self.under_way = Some(UnderWay {
            working: self.publisher.publish(batch, checkpoint),
            begun: Instant::now(),
        });
    }

    /// The transaction under way, once it has ended; waits for ever where there is none.
    /// Dropping it loses nothing. Its outcome must be given to [`Stage::settle`].
    pub async fn ended(&mut self) -> Result<Outcome, Ended> {
        match &mut self.under_way {
            None => std::future::pending().await,
            Some(UnderWay { working, .. }) => working.await.map_err(Ended::Panicked),
        }
    }

    /// Acknowledges what was committed, and finds the guilty record where Kafka refused
    /// one.
    ///
    /// # Errors
    /// Where the session cannot go on: the position must then be read from Kafka again.
    pub async fn settle(&mut self, outcome: Outcome) -> Result<(), Ended> {
        let mut again = 0;
        let mut parts = self.judge(outcome, &mut again).await?;
        // A batch that was refused is taken apart, first part first.
        while let Some(part) = parts.pop() {
            if let Some(reached) = self.reached_by(&part)? {
                self.commit(part, reached);
                let outcome = self.ended().await?;
                parts.extend(self.judge(outcome, &mut again).await?);
            }
        }
        Ok(())
    }

    /// What remains to be sent of it, last part first. `again` is how often an aborted
    /// transaction may be repeated as it is.
    async fn judge(&mut self, outcome: Outcome, again: &mut u32) -> Result<Vec<Batch>, Ended> {
        let begun = self.under_way.take().map(|under_way| under_way.begun);
        let error = match outcome.result {
            Ok(landed) => {
                self.acknowledge(&outcome.batch, &outcome.checkpoint, landed, begun);
                return Ok(Vec::new());
            }
            Err(error) => error,
        };
        let failures = &self.relay.metrics.publish_failures;
        failures.with_label_values(&[error.reason()]).inc();
        match error {
            TransactionError::Refused(code) => {
                *again = AFTER_A_REFUSAL;
                self.take_apart(outcome.batch, &code).await
            }
            TransactionError::Aborted(_) if *again > 0 => {
                *again -= 1;
                Ok(vec![outcome.batch])
            }
            error => Err(Ended::Transaction(error)),
        }
    }

    /// Records that share a request are refused together, so the guilty one is found by
    /// halving: only a record that is refused alone is dead.
    async fn take_apart(
        &mut self,
        batch: Batch,
        code: &RDKafkaErrorCode,
    ) -> Result<Vec<Batch>, Ended> {
        if let [event] = batch.events() {
            let why = Unpublishable::Refused(code.to_string());
            self.bury(event, &why).await?;
            return Ok(Vec::new());
        }
        tracing::warn!(events = batch.len(), %code, "refused by Kafka: looking for the guilty record");
        let (first, second) = batch.split();
        Ok(vec![second, first])
    }

    fn acknowledge(
        &mut self,
        batch: &Batch,
        checkpoint: &Checkpoint,
        landed: Landing,
        begun: Option<Instant>,
    ) {
        let metrics = &self.relay.metrics;
        self.relay.kafka.up();
        self.counters.published += batch.len() as u64;
        metrics.lag.retain(i64::try_from(batch.len()).unwrap_or(0));
        metrics.lag.checkpointed(checkpoint);
        if let Some(moment) = checkpoint.proven_at {
            metrics.lag.prove(moment);
        }
        let reached = match &checkpoint.progress {
            Progress::At(position) => Some(position.time),
            Progress::Recovering { .. } => None,
        };
        metrics.lag.land(landed, reached);
        if let Some(time) = reached {
            metrics.lag.cover(time.before());
        }
        if batch.is_empty() {
            return;
        }
        for (domain, count) in per_domain(batch) {
            metrics.published.with_label_values(&[domain.topic()]).inc_by(count);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 50,000")]
        metrics.batch_size.observe(batch.len() as f64);
        if let Some(begun) = begun {
            metrics.publish_seconds.observe(begun.elapsed().as_secs_f64());
        }
    }

    fn checkpoint(&self, batch: &Batch, reached: Reached) -> Checkpoint {
        let events = batch.len() as u64;
        let retained = self.relay.metrics.lag.retained().unwrap_or(0);
        Checkpoint {
            shard: self.relay.shard.to_string(),
            division: self.division,
            drained: reached.drained,
            source: self.source.clone(),
            progress: reached.progress,
            proven_at: reached.proven,
            written_at: Timestamp::now(),
            counters: Counters {
                published: self.counters.published + events,
                retained: retained + events,
                dead: self.counters.dead,
            },
        }
    }

    /// Where the last event of the batch brings us; `None` for an empty batch.
    fn reached_by(&self, batch: &Batch) -> Result<Option<Reached>, Ended> {
        let Some(last) = batch.last() else {
            return Ok(None);
        };
        let (progress, proven) = match (&self.recovering, last) {
            (Some(reason), _) => (self.still_recovering(reason), None),
            (None, Event::Streamed(change)) => {
                let (position, committed) = tail::position(change)?;
                (Progress::At(position), committed)
            }
            (None, Event::Swept(_)) => (self.still_recovering("sweep"), None),
        };
        Ok(Some(Reached { progress, proven, drained: false }))
    }

    fn still_recovering(&self, reason: &str) -> Progress {
        Progress::Recovering { reason: reason.to_owned() }
    }

    async fn set_aside(&mut self, batch: &mut Batch) -> Result<(), Ended> {
        let limit = self.relay.config.event_max_bytes as usize;
        let topics = &self.relay.topics;
        if batch.events().iter().all(|event| dead::judge(event, topics, limit).is_ok()) {
            return Ok(());
        }
        for event in batch.events() {
            if let Err(why) = dead::judge(event, topics, limit) {
                self.bury(event, &why).await?;
            }
        }
        batch.retain(|event| dead::judge(event, topics, limit).is_ok());
        Ok(())
    }

    async fn bury(&mut self, event: &Event, why: &Unpublishable) -> Result<(), Ended> {
        dead::bury(&self.relay.source, event, why).await?;
        self.relay.metrics.dead.inc();
        self.counters.dead += 1;
        Ok(())
    }
}

/// A position and the moment it proves, for a checkpoint without events.
pub fn reached_at(position: Position, proven: Timestamp) -> Reached {
    Reached { progress: Progress::At(position), proven: Some(proven), drained: false }
}

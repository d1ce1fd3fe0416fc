//! What follows from a transaction that has ended: its events are acknowledged, what can
//! never be published is set aside, and where Kafka refused a record, it is looked for.

use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;

use super::{Reached, Stage};
use crate::batch::{Batch, Event};
use crate::checkpoint::Checkpoint;
use crate::dead::{self, Unpublishable};
use crate::failure::TransactionError;
use crate::publish::{Outcome, Portion, Published, Sent};
use crate::session::Ended;

/// After a refusal librdkafka (2.12) goes on with sequence numbers that the broker never
/// saw, so the next transaction with events is aborted as out of order; only then it
/// starts afresh.
const AFTER_A_REFUSAL: u32 = 3;

/// To be sent in a transaction of its own.
type Part = (Batch, Reached);

impl Stage<'_> {
    /// Acknowledges what was committed, sets aside what cannot be published, and finds the
    /// guilty record where Kafka refused one.
    ///
    /// # Errors
    /// Where the session cannot go on: the position must then be read from Kafka again.
    pub async fn settle(&mut self, outcome: Outcome) -> Result<(), Ended> {
        let mut again = 0;
        let is_committed = outcome.is_committed();
        let judged = self.judge(outcome, &mut again).await;
        let mut later = Ok(Vec::new());
        if !is_committed && !self.is_idle() {
            // The next one was begun, and is abandoned with it.
            let next = self.outcome().await?;
            later = self.judge(next, &mut again).await;
        }
        let first = judged?;
        let mut parts = later?;
        parts.extend(first);
        // A batch that was refused is taken apart, first part first.
        while let Some((part, reached)) = parts.pop() {
            self.begin(part, reached);
            let outcome = self.outcome().await?;
            parts.extend(self.judge(outcome, &mut again).await?);
        }
        Ok(())
    }

    /// What remains to be sent of it, last part first. `again` is how often an aborted
    /// transaction may be repeated as it is.
    async fn judge(&mut self, outcome: Outcome, again: &mut u32) -> Result<Vec<Part>, Ended> {
        let ended = self.before.take().or_else(|| self.under_way.take());
        self.note_oldest();
        let Outcome { sent, unsent } = outcome;
        let mut parts = Vec::new();
        if let Some(Sent { whole, checkpoint, is_written, result }) = sent {
            match result {
                Ok(published) => {
                    if is_written {
                        self.relay.metrics.lag.checkpointed(&checkpoint);
                        self.relay.history.checkpointed();
                    }
                    self.acknowledge(&checkpoint, published, ended.map(|ended| ended.begun));
                }
                Err(error) => {
                    self.book.withdraw();
                    if let Some(ended) = ended.filter(|_| error != TransactionError::Abandoned) {
                        self.publisher.try_again(&ended.running);
                    }
                    let whole = whole.filter(|_| unsent.is_empty());
                    parts = self.after(error, whole, checkpoint, again).await?;
                }
            }
        }
        let mut held_back = Vec::new();
        for Portion { batch, checkpoint, .. } in unsent {
            held_back.push((self.set_aside(batch).await?, Reached::of(checkpoint)));
        }
        parts.extend(held_back.into_iter().rev());
        Ok(parts)
    }

    /// What is to be sent once more after a transaction has failed; `batch` is all of it.
    async fn after(
        &mut self,
        error: TransactionError,
        batch: Option<Batch>,
        checkpoint: Checkpoint,
        again: &mut u32,
    ) -> Result<Vec<Part>, Ended> {
        let failures = &self.relay.metrics.publish_failures;
        failures.with_label_values(&[error.reason()]).inc();
        let Some(batch) = batch else {
            return Err(Ended::Transaction { error, until: checkpoint.progress.time() });
        };
        match error {
            TransactionError::Refused(code) => {
                *again = AFTER_A_REFUSAL;
                self.take_apart(batch, Reached::of(checkpoint), &code).await
            }
            TransactionError::Abandoned => Ok(vec![(batch, Reached::of(checkpoint))]),
            TransactionError::Aborted(_) if *again > 0 => {
                *again -= 1;
                Ok(vec![(batch, Reached::of(checkpoint))])
            }
            error => Err(Ended::Transaction { error, until: None }),
        }
    }

    /// Records that share a request are refused together, so the guilty one is found by
    /// halving: only a record that is refused alone is dead. A checkpoint of its own passes
    /// its place: if the next transaction ends the session, as it may (see
    /// [`AFTER_A_REFUSAL`]), the relay does not come back to it, for ever.
    async fn take_apart(
        &mut self,
        mut batch: Batch,
        reached: Reached,
        code: &RDKafkaErrorCode,
    ) -> Result<Vec<Part>, Ended> {
        if let [event] = batch.events() {
            let why = Unpublishable::Refused(code.to_string());
            self.bury(event, &why).await?;
            batch.retain(|_| false);
            return Ok(vec![(batch, reached)]);
        }
        tracing::warn!(events = batch.len(), %code, "refused by Kafka: looking for the guilty record");
        let (first, second) = batch.split();
        let between = self.reached_by(&first)?;
        Ok([Some((second, reached)), between.map(|reached| (first, reached))]
            .into_iter()
            .flatten()
            .collect())
    }

    fn acknowledge(
        &mut self,
        checkpoint: &Checkpoint,
        published: Published,
        begun: Option<Instant>,
    ) {
        let metrics = &self.relay.metrics;
        let Published { events: counts, landing } = published;
        let events: u64 = counts.values().sum();
        self.relay.kafka.up();
        self.counters.published += events;
        if let Some(moment) = checkpoint.proven_at {
            metrics.lag.prove(moment);
        }
        self.book.land(&landing);
        let reached = checkpoint.progress.time();
        metrics.lag.land(landing, reached);
        if let Some(time) = reached {
            metrics.lag.cover(time.before());
        }
        if events == 0 {
            return;
        }
        for (domain, count) in counts {
            metrics.published.with_label_values(&[domain.topic()]).inc_by(count);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 50,000")]
        metrics.batch_size.observe(events as f64);
        if let Some(begun) = begun {
            metrics.publish_seconds.observe(begun.elapsed().as_secs_f64());
        }
    }

    /// What is left of `batch` without the records that Kafka will never take.
    async fn set_aside(&mut self, mut batch: Batch) -> Result<Batch, Ended> {
        let limit = self.relay.config.event_max_bytes as usize;
        let topics = &self.relay.topics;
        for event in batch.events() {
            if let Err(why) = dead::judge(event, topics, limit) {
                self.bury(event, &why).await?;
            }
        }
        batch.retain(|event| dead::judge(event, topics, limit).is_ok());
        Ok(batch)
    }

    async fn bury(&mut self, event: &Event, why: &Unpublishable) -> Result<(), Ended> {
        dead::bury(&self.relay.source, event, why).await?;
        self.relay.metrics.dead.inc();
        self.counters.dead += 1;
        Ok(())
    }
}

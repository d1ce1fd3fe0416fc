//! The second stage: what becomes of a batch once it is read. It is judged, sent in one
//! transaction with its checkpoint, and acknowledged; the stage before reads on
//! meanwhile.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use shared::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Relay;
use crate::batch::{Batch, Event, Limits};
use crate::checkpoint::{Checkpoint, Counters, Progress, Source};
use crate::dead::{self, Unpublishable};
use crate::failure::TransactionError;
use crate::position::{ClusterTime, Position};
use crate::publish::{Outcome, Portion, Published, Publisher, Sent};
use crate::session::Ended;
use crate::tail;

/// After a refusal librdkafka (2.12) goes on with sequence numbers that the broker never
/// saw, so the next transaction is aborted as out of order; only then it starts afresh.
const AFTER_A_REFUSAL: u32 = 3;

/// A backlog is committed at least so often: readers see it come.
const LONGEST: Duration = Duration::from_millis(500);

/// How far a batch brings us once it is acknowledged.
#[derive(Debug, Clone)]
pub struct Reached {
    pub progress: Progress,
    /// All committed before this moment is then published; unknown within a recovery.
    pub proven: Option<Timestamp>,
    /// Nothing more is left to publish, and the process stops.
    pub drained: bool,
}

impl Reached {
    fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { progress, proven_at: proven, drained, .. } = checkpoint;
        Self { progress, proven, drained }
    }
}

/// To be sent in a transaction of its own.
type Part = (Batch, Reached);

/// One transaction at a time, under way or not.
pub struct Stage<'a> {
    relay: &'a Relay,
    publisher: Publisher,
    source: Source,
    division: u64,
    pub counters: Counters,
    /// Up to here each portion has a transaction of its own, so that one that fails can be
    /// taken apart.
    one_by_one_until: Option<ClusterTime>,
    /// The transaction before this one was ended for its size: the backlog goes on.
    left_more: bool,
    /// Why the outbox is being swept, while it is: no position holds until that is over.
    recovering: Option<String>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    working: JoinHandle<Outcome>,
    begun: Instant,
    /// In the portions so far.
    events: usize,
    /// Takes further portions; `None` where none shall follow.
    more: Option<mpsc::Sender<Portion>>,
}

/// What the transaction under way is ready for.
pub enum Turn {
    Ended(Box<Outcome>),
    /// It takes another portion.
    Room,
}

async fn has_room(more: Option<&mpsc::Sender<Portion>>) -> bool {
    match more {
        Some(more) => more.reserve().await.is_ok(),
        None => false,
    }
}

impl<'a> Stage<'a> {
    pub fn new(
        relay: &'a Relay,
        publisher: Publisher,
        source: Source,
        division: u64,
        counters: Counters,
        one_by_one_until: Option<ClusterTime>,
    ) -> Self {
        Self {
            relay,
            publisher,
            source,
            division,
            counters,
            one_by_one_until,
            left_more: false,
            recovering: None,
            under_way: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// From here on checkpoints say that a recovery is under way; `None` ends that.
    pub fn set_recovering(&mut self, reason: Option<String>) {
        self.recovering = reason;
    }

    /// Starts the transaction. Nothing may be under way. A full batch is taken for a
    /// backlog: then more may follow, at [`Turn::Room`].
    ///
    /// # Errors
    /// Where a change event lacks its position.
    pub fn start(&mut self, batch: Batch) -> Result<(), Ended> {
        let Some(reached) = self.reached_by(&batch)? else {
            return Ok(());
        };
        let goes_on = std::mem::take(&mut self.left_more);
        let is_backlog = (batch.is_full() || goes_on) && self.takes_portions(&reached);
        let more = self.commit(batch, reached);
        if let Some(under_way) = self.under_way.as_mut().filter(|_| is_backlog) {
            under_way.more = Some(more);
            self.close_if_large();
        }
        Ok(())
    }

    fn takes_portions(&self, reached: &Reached) -> bool {
        match &reached.progress {
            Progress::At(position) => Some(position.time) > self.one_by_one_until,
            Progress::Recovering { .. } => false,
        }
    }

    /// Writes the checkpoint alone. Nothing may be under way.
    pub fn start_checkpoint(&mut self, reached: Reached, limits: Limits) {
        self.commit(Batch::new(limits), reached);
    }

    fn commit(&mut self, batch: Batch, reached: Reached) -> mpsc::Sender<Portion> {
        let events = batch.len();
        let checkpoint = self.checkpoint(events, reached);
        let (more, portions) = mpsc::channel(1);
        self.under_way = Some(UnderWay {
            working: self.publisher.publish(Portion { batch, checkpoint }, portions),
            begun: Instant::now(),
            events,
            more: None,
        });
        more
    }

    /// Adds another portion, at [`Turn::Room`].
    ///
    /// # Errors
    /// Where a change event lacks its position.
    pub fn extend(&mut self, next: &mut Batch) -> Result<(), Ended> {
        let Some(reached) = self.reached_by(next)? else {
            return Ok(());
        };
        let before = self.under_way.as_ref().map_or(0, |under_way| under_way.events);
        let checkpoint = self.checkpoint(before + next.len(), reached);
        if let Some(UnderWay { events, more: Some(more), .. }) = &mut self.under_way
            && let Ok(room) = more.try_reserve()
        {
            *events += next.len();
            room.send(Portion { batch: next.take(), checkpoint });
        }
        self.close_if_large();
        Ok(())
    }

    fn close_if_large(&mut self) {
        if let Some(under_way) = &mut self.under_way
            && under_way.more.is_some()
            && (under_way.events >= self.relay.config.batch_events as usize
                || under_way.begun.elapsed() >= LONGEST)
        {
            under_way.more = None;
            self.left_more = true;
        }
    }

    /// What is next with the transaction under way; waits for ever where there is none.
    /// Dropping it loses nothing. An outcome must be given to [`Stage::settle`].
    ///
    /// # Errors
    /// Where it panicked.
    pub async fn turn(&mut self, has_portion: bool) -> Result<Turn, Ended> {
        let Some(UnderWay { working, more, .. }) = &mut self.under_way else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            outcome = working => {
                outcome.map(Box::new).map(Turn::Ended).map_err(Ended::Panicked)
            }
            true = has_room(more.as_ref()), if has_portion => Ok(Turn::Room),
        }
    }

    /// Waits for the transaction under way, if there is one. No portion is added to it.
    ///
    /// # Errors
    /// Where it was not committed.
    pub async fn finish(&mut self) -> Result<(), Ended> {
        let Some(UnderWay { working, more, .. }) = &mut self.under_way else {
            return Ok(());
        };
        *more = None;
        let outcome = working.await.map_err(Ended::Panicked)?;
        self.settle(outcome).await
    }

    /// Acknowledges what was committed, sets aside what cannot be published, and finds the
    /// guilty record where Kafka refused one.
    ///
    /// # Errors
    /// Where the session cannot go on: the position must then be read from Kafka again.
    pub async fn settle(&mut self, outcome: Outcome) -> Result<(), Ended> {
        let mut again = 0;
        let mut parts = self.judge(outcome, &mut again).await?;
        // A batch that was refused is taken apart, first part first.
        while let Some((part, reached)) = parts.pop() {
            self.commit(part, reached);
            if let Turn::Ended(outcome) = self.turn(false).await? {
                parts.extend(self.judge(*outcome, &mut again).await?);
            }
        }
        Ok(())
    }

    /// What remains to be sent of it, last part first. `again` is how often an aborted
    /// transaction may be repeated as it is.
    async fn judge(&mut self, outcome: Outcome, again: &mut u32) -> Result<Vec<Part>, Ended> {
        let begun = self.under_way.take().map(|under_way| under_way.begun);
        let Outcome { sent, unsent } = outcome;
        let mut parts = Vec::new();
        if let Some(Sent { whole, checkpoint, result }) = sent {
            match result {
                Ok(published) => self.acknowledge(&checkpoint, published, begun),
                Err(error) => {
                    let whole = whole.filter(|_| unsent.is_empty());
                    parts = self.after(error, whole, checkpoint, again).await?;
                }
            }
        }
        let mut held_back = Vec::new();
        for Portion { batch, checkpoint } in unsent {
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
            let until = match &checkpoint.progress {
                Progress::At(position) => Some(position.time),
                Progress::Recovering { .. } => None,
            };
            return Err(Ended::Transaction { error, until });
        };
        match error {
            TransactionError::Refused(code) => {
                *again = AFTER_A_REFUSAL;
                self.take_apart(batch, &code).await
            }
            TransactionError::Aborted(_) if *again > 0 => {
                *again -= 1;
                Ok(vec![(batch, Reached::of(checkpoint))])
            }
            error => Err(Ended::Transaction { error, until: None }),
        }
    }

    /// Records that share a request are refused together, so the guilty one is found by
    /// halving: only a record that is refused alone is dead.
    async fn take_apart(
        &mut self,
        batch: Batch,
        code: &RDKafkaErrorCode,
    ) -> Result<Vec<Part>, Ended> {
        if let [event] = batch.events() {
            let why = Unpublishable::Refused(code.to_string());
            self.bury(event, &why).await?;
            return Ok(Vec::new());
        }
        tracing::warn!(events = batch.len(), %code, "refused by Kafka: looking for the guilty record");
        let (first, second) = batch.split();
        let mut parts = Vec::new();
        for part in [second, first] {
            if let Some(reached) = self.reached_by(&part)? {
                parts.push((part, reached));
            }
        }
        Ok(parts)
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
        metrics.lag.retain(i64::try_from(events).unwrap_or(0));
        metrics.lag.checkpointed(checkpoint);
        if let Some(moment) = checkpoint.proven_at {
            metrics.lag.prove(moment);
        }
        let reached = match &checkpoint.progress {
            Progress::At(position) => Some(position.time),
            Progress::Recovering { .. } => None,
        };
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

    /// The checkpoint of a transaction that brings us to `reached` by `events` events.
    fn checkpoint(&self, events: usize, reached: Reached) -> Checkpoint {
        let events = events as u64;
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

/// A position and the moment it proves, for a checkpoint without events.
pub fn reached_at(position: Position, proven: Timestamp) -> Reached {
    Reached { progress: Progress::At(position), proven: Some(proven), drained: false }
}

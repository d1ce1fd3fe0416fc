//! The second stage: what becomes of a batch once it is read. It is sent in one
//! transaction, now and then with its checkpoint (`book.rs`), under a backlog together with
//! those that follow, and settled (`settle.rs`); the stage before reads on meanwhile. While one is committed, the
//! next one is sent.

mod book;
mod settle;
mod turn;

pub use book::Book;
pub use turn::Turn;

use std::time::{Duration, Instant};

use shared::Timestamp;
use tokio::sync::mpsc;

use crate::Relay;
use crate::ahead::Ahead;
use crate::batch::{Batch, Event, Limits};
use crate::checkpoint::{Checkpoint, Counters, Progress, Source};
use crate::position::{ClusterTime, Position};
use crate::publish::{Portion, Publisher, Running};
use crate::session::Ended;

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

/// At most two transactions, in order: all of the first one is sent when the second begins.
pub struct Stage<'a> {
    relay: &'a Relay,
    publisher: Publisher,
    source: Source,
    division: u64,
    pub counters: Counters,
    pub book: Book,
    /// Up to here each portion has a transaction of its own, so that one that fails can be
    /// taken apart.
    one_by_one_until: Option<ClusterTime>,
    /// The transaction before this one was ended for its size: the backlog goes on.
    left_more: bool,
    /// Why the outbox is being swept, while it is: no position holds until that is over.
    recovering: Option<String>,
    /// A transaction that is not full begins no earlier.
    not_before: Instant,
    /// The newest one.
    under_way: Option<UnderWay>,
    /// The one before it, where its commit is awaited.
    before: Option<UnderWay>,
}

struct UnderWay {
    running: Running,
    is_delivered: bool,
    begun: Instant,
    /// In the portions so far.
    events: usize,
    /// Takes further portions; `None` where none shall follow.
    more: Option<mpsc::Sender<Portion>>,
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
            book: Book::default(),
            one_by_one_until,
            left_more: false,
            recovering: None,
            not_before: Instant::now(),
            under_way: None,
            before: None,
        }
    }

    /// When the next transaction may begin with what is ahead; `None` while that must wait
    /// for one under way, or nothing is ahead.
    pub fn due(&self, ahead: &Ahead) -> Option<Instant> {
        match ahead {
            _ if !self.takes_next(ahead.waiting()) => None,
            _ if ahead.has_full() => Some(Instant::now()),
            _ => Some(self.not_before),
        }
    }

    /// Where transactions are kept apart, nothing needs to be read until the next may begin:
    /// then MongoDB brings in one answer what it would have brought in an answer each.
    /// A backlog is read as fast as it goes.
    pub fn rests_until(&self, ahead: &Ahead) -> Option<Instant> {
        Some(self.not_before).filter(|until| !ahead.has_full() && *until > Instant::now())
    }

    /// From here on checkpoints say that a recovery is under way; `None` ends that.
    pub fn set_recovering(&mut self, reason: Option<String>) {
        self.recovering = reason;
    }

    /// Starts the transaction, when it is [`Stage::due`]. A full batch is taken for a
    /// backlog: then more may follow, at [`Turn::Room`].
    ///
    /// # Errors
    /// Where a change event lacks its position.
    pub fn start(&mut self, batch: Batch) -> Result<(), Ended> {
        let Some(reached) = self.reached_by(&batch)? else {
            return Ok(());
        };
        self.not_before = Instant::now() + self.relay.config.transaction_interval();
        let goes_on = std::mem::take(&mut self.left_more);
        let is_backlog = (batch.is_full() || goes_on) && self.takes_portions(&reached);
        let more = self.begin(batch, reached);
        if let Some(under_way) = self.under_way.as_mut().filter(|_| is_backlog) {
            under_way.more = Some(more);
            self.close_if_large();
        }
        Ok(())
    }

    fn takes_portions(&self, reached: &Reached) -> bool {
        reached.progress.time().is_some_and(|time| Some(time) > self.one_by_one_until)
    }

    /// Writes the checkpoint alone. Nothing may be under way.
    pub fn start_checkpoint(&mut self, reached: Reached, limits: Limits) {
        self.begin(Batch::new(limits), reached);
    }

    fn begin(&mut self, batch: Batch, reached: Reached) -> mpsc::Sender<Portion> {
        let events = batch.len();
        let is_written = self.recovering.is_some() || self.book.is_due(events);
        let checkpoint = self.checkpoint(self.events_under_way() + events, reached, is_written);
        let (more, portions) = mpsc::channel(1);
        self.before = self.under_way.take();
        let before = self.before.as_mut().map(|before| &mut before.running);
        self.under_way = Some(UnderWay {
            running: self.publisher.publish(
                Portion { batch, checkpoint, is_written },
                portions,
                before,
            ),
            is_delivered: false,
            begun: Instant::now(),
            events,
            more: None,
        });
        self.note_oldest();
        more
    }

    /// For those who look for transactions that do not end.
    fn note_oldest(&self) {
        let oldest = self.before.as_ref().or(self.under_way.as_ref());
        self.relay.held_back.own(oldest.map(|under_way| under_way.begun));
    }

    /// Adds the `next` portion, at [`Turn::Room`]. Nothing is asked for it where the
    /// transaction has just been closed.
    ///
    /// # Errors
    /// Where a change event lacks its position.
    pub fn extend(&mut self, next: impl FnOnce(&mut Self) -> Batch) -> Result<(), Ended> {
        let more = self.under_way.as_ref().and_then(|under_way| under_way.more.clone());
        let Some(room) = more.and_then(|more| more.try_reserve_owned().ok()) else {
            return Ok(());
        };
        let batch = next(self);
        let Some(reached) = self.reached_by(&batch)? else {
            return Ok(());
        };
        let events = batch.len();
        let checkpoint = self.checkpoint(self.events_under_way() + events, reached, true);
        room.send(Portion { batch, checkpoint, is_written: true });
        if let Some(under_way) = &mut self.under_way {
            under_way.events += events;
        }
        self.close_if_large();
        Ok(())
    }

    /// Events that an earlier session has published, and no checkpoint counts.
    pub fn count_published_before(&mut self, events: u64) {
        self.counters.published += events;
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

    /// The checkpoint of a transaction that brings us to `reached` by `events` events.
    fn checkpoint(&mut self, events: usize, reached: Reached, is_written: bool) -> Checkpoint {
        let events = events as u64;
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
                dead: self.counters.dead,
                ..self.counters
            },
            ends: is_written.then(|| self.book.write()),
            renewals: self.relay.history.durable(),
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
                (Progress::At(change.position()?), change.committed_at())
            }
            (None, Event::Swept(_)) => (self.still_recovering("sweep"), None),
        };
        Ok(Some(Reached { progress, proven, drained: false }))
    }

    fn still_recovering(&self, reason: &str) -> Progress {
        Progress::Recovering { reason: reason.to_owned() }
    }
}

/// A position and the moment it proves, for a checkpoint without events.
pub fn reached_at(position: Position, proven: Timestamp) -> Reached {
    Reached { progress: Progress::At(position), proven: Some(proven), drained: false }
}

//! Group commit: while one transaction is in flight, the writes that arrive meanwhile
//! wait, and go into the next one together. Nobody waits when nothing is in flight, and
//! no timer delays anybody, so that a lone request pays nothing.
//!
//! A group that fails is taken apart: who is to blame is told so ([`super::blame`]), the
//! others are committed. Each write keeps an outcome of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use prometheus::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::group::{Held, Hold, Limits, Resource, Waiting, admit};
use super::transaction::Transactions;
use super::{CommitError, Write};
use crate::metrics::Metrics;

type Outcome = Result<(), CommitError>;

/// How long after its time is up a write in flight may still tell how it ended. The
/// transaction has the same deadline, so this is for the scheduler alone.
const LAST_WORD: Duration = Duration::from_millis(500);

/// How group commit is bounded.
#[derive(Debug, Clone, Copy)]
pub struct GroupLimits {
    /// Writes in one transaction; 1 switches grouping off.
    pub writes: usize,
    /// Bytes in one transaction.
    pub bytes: usize,
    /// Writes that may wait; more are answered 503.
    pub queue: usize,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Transactions in flight at once.
    pub in_flight: usize,
}

/// How writes get to MongoDB: each in a transaction of its own, or in groups.
#[derive(Clone)]
pub(super) enum Committing {
    Each { transactions: Transactions, time: Duration, seconds: Histogram },
    Grouped(Committer),
}

impl Committing {
    /// `time` is how long a write may take, its wait in the queue included.
    pub fn start(
        transactions: Transactions,
        limits: GroupLimits,
        time: Duration,
        metrics: Metrics,
    ) -> Self {
        if limits.writes > 1 {
            return Self::Grouped(Committer::start(transactions, limits, time, metrics));
        }
        Self::Each { transactions, time, seconds: metrics.commit_seconds }
    }

    /// Commits a write; it goes on when the caller stops waiting.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, write: Arc<Write>) -> Outcome {
        match self {
            Self::Grouped(committer) => committer.commit(write).await,
            Self::Each { transactions, time, seconds } => {
                let (transactions, time, timer) =
                    (transactions.clone(), *time, seconds.start_timer());
                let alone = tokio::spawn(async move {
                    let _timer = timer;
                    transactions.commit(&[write], time).await
                });
                alone.await.map_err(CommitError::internal)?
            }
        }
    }
}

/// The queue in front of MongoDB. Cheap to clone; ends when the last clone is gone and
/// everything queued is settled.
#[derive(Clone)]
pub(super) struct Committer {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    time: Duration,
}

/// How far a write has come; the client that stops waiting must know whether its
/// outcome is open.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Progress {
    /// Whether the committer may have it.
    fn take(&self) -> bool {
        self.step(TAKEN)
    }

    /// Whether it was taken back before anything happened to it.
    fn give_up(&self) -> bool {
        self.step(GIVEN_UP)
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) == TAKEN
    }

    fn step(&self, to: u8) -> bool {
        self.0.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

struct Queued {
    write: Arc<Write>,
    bytes: usize,
    since: Instant,
    progress: Arc<Progress>,
    reply: oneshot::Sender<Outcome>,
    _room: OwnedSemaphorePermit,
}

impl Waiting for Queued {
    fn resources(&self) -> &[(Resource, Hold)] {
        &self.write.resources
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Committer {
    fn start(
        transactions: Transactions,
        limits: GroupLimits,
        time: Duration,
        metrics: Metrics,
    ) -> Self {
        let (queue, arriving) = mpsc::channel(limits.queue);
        let crew = Crew { transactions, time, metrics };
        tokio::spawn(run(crew, limits, arriving));
        let room = Arc::new(Semaphore::new(limits.queue_bytes));
        Self { queue, room, room_bytes: limits.queue_bytes, time }
    }

    /// Commits a write, alone or in company.
    ///
    /// # Errors
    /// [`CommitError::Overloaded`] where too many wait already; else what its own
    /// transaction would have failed with.
    async fn commit(&self, write: Arc<Write>) -> Outcome {
        let deadline = Instant::now() + self.time;
        let bytes = write.bytes();
        let wanted = u32::try_from(bytes.min(self.room_bytes)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(wanted);
        let room = room.map_err(|_| CommitError::Overloaded)?;
        let (reply, mut outcome) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let queued = Queued {
            write,
            bytes,
            since: Instant::now(),
            progress: progress.clone(),
            reply,
            _room: room,
        };
        self.queue.try_send(queued).map_err(|_| CommitError::Overloaded)?;
        let mut settled = tokio::time::timeout_at(deadline, &mut outcome).await;
        if settled.is_err() && !progress.give_up() {
            settled = tokio::time::timeout(LAST_WORD, outcome).await;
        }
        match settled {
            Ok(outcome) => outcome.map_err(CommitError::internal)?,
            Err(_) => {
                Err(CommitError::Unavailable { outcome_unknown: progress.is_taken(), source: None })
            }
        }
    }
}

/// What a group needs to be committed.
#[derive(Clone)]
struct Crew {
    transactions: Transactions,
    time: Duration,
    metrics: Metrics,
}

async fn run(crew: Crew, limits: GroupLimits, mut arriving: mpsc::Receiver<Queued>) {
    let group_limits = Limits { writes: limits.writes, bytes: limits.bytes };
    let mut waiting = VecDeque::new();
    let mut held = Held::default();
    let mut in_flight = JoinSet::new();
    let mut open = true;
    while open || !waiting.is_empty() || !in_flight.is_empty() {
        tokio::select! {
            biased;
            Some(settled) = in_flight.join_next(), if !in_flight.is_empty() => {
                release(&mut held, settled);
            }
            // What cannot go yet stays in the channel, which is bounded.
            arrived = arriving.recv(), if open && waiting.len() < limits.writes => {
                open = arrived.is_some();
                waiting.extend(arrived);
            }
        }
        while waiting.len() < 2 * limits.writes {
            let Ok(arrived) = arriving.try_recv() else {
                break;
            };
            waiting.push_back(arrived);
        }
        while in_flight.len() < limits.in_flight {
            let group = admit(&mut waiting, &mut held, group_limits);
            if group.is_empty() {
                break;
            }
            in_flight.spawn(crew.clone().settle(group));
        }
    }
}

type Resources = Vec<(Resource, Hold)>;

fn release(held: &mut Held, settled: Result<Resources, tokio::task::JoinError>) {
    match settled {
        Ok(resources) => held.release(&resources),
        // It cannot be known what a panicked group held. Nobody is in flight for long:
        // beginning anew at worst costs a group a retry.
        Err(error) => {
            tracing::error!(%error, "a commit group panicked");
            *held = Held::default();
        }
    }
}

impl Crew {
    /// Gives each write of the group its outcome. Returns what they held.
    async fn settle(self, group: Vec<Queued>) -> Resources {
        let resources =
            group.iter().flat_map(|queued| queued.write.resources.iter().cloned()).collect();
        let group: Vec<Queued> =
            group.into_iter().filter(|queued| queued.progress.take()).collect();
        for queued in &group {
            self.metrics.commit_queue_wait_seconds.observe(queued.since.elapsed().as_secs_f64());
        }
        let group = self.with_time_left(group);
        if !group.is_empty() {
            self.metrics.commit_group_size.observe(group.len() as f64);
            self.commit(group).await;
        }
        resources
    }

    /// Refuses those whose time is almost up: begun now, they could be committed after
    /// their clients were told that they were not.
    fn with_time_left(&self, group: Vec<Queued>) -> Vec<Queued> {
        let (late, timely): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|queued| queued.since.elapsed() > self.time * 9 / 10);
        for queued in late {
            queued.answer(Err(CommitError::Unavailable { outcome_unknown: false, source: None }));
        }
        timely
    }

    /// All together; where that fails for somebody's fault, without the guilty; where
    /// nobody is found guilty, in halves.
    async fn commit(&self, group: Vec<Queued>) {
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            match (self.attempt(&group).await, group.len()) {
                (Ok(()), _) => group.into_iter().for_each(|queued| queued.answer(Ok(()))),
                (Err(CommitError::Unavailable { outcome_unknown, source }), _) => {
                    for queued in group {
                        let source = source.clone();
                        queued.answer(Err(CommitError::Unavailable { outcome_unknown, source }));
                    }
                }
                (Err(error), 0 | 1) => {
                    if let Some(queued) = group.pop() {
                        queued.answer(Err(error));
                    }
                }
                (Err(error), members) => {
                    self.metrics.commit_regroups.with_label_values(&[error.reason()]).inc();
                    let mut innocent = self.without_the_guilty(group).await;
                    if innocent.len() == members {
                        groups.push(innocent.split_off(members / 2));
                    }
                    if !innocent.is_empty() {
                        groups.push(innocent);
                    }
                }
            }
        }
    }

    async fn attempt(&self, group: &[Queued]) -> Outcome {
        let writes: Vec<_> = group.iter().map(|queued| queued.write.clone()).collect();
        let waited = group.iter().map(|queued| queued.since.elapsed()).max();
        let left = self.time.saturating_sub(waited.unwrap_or_default());
        let _timer = self.metrics.commit_seconds.start_timer();
        self.transactions.commit(&writes, left).await
    }

    async fn without_the_guilty(&self, group: Vec<Queued>) -> Vec<Queued> {
        let writes: Vec<_> = group.iter().map(|queued| queued.write.clone()).collect();
        // Where MongoDB is gone by now, the next attempt says so.
        let Ok(verdicts) = self.transactions.blame(&writes).await else {
            return group;
        };
        let mut innocent = Vec::new();
        for (queued, verdict) in group.into_iter().zip(verdicts) {
            match verdict {
                Some(error) => queued.answer(Err(error)),
                None => innocent.push(queued),
            }
        }
        innocent
    }
}

impl Queued {
    /// A client that has gone needs none.
    fn answer(self, outcome: Outcome) {
        let _ = self.reply.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_either_taken_or_given_up() {
        let progress = Progress::default();
        assert!(progress.take() && !progress.give_up(), "its outcome is open");
        let progress = Progress::default();
        assert!(progress.give_up() && !progress.take(), "nothing will happen to it");
    }
}

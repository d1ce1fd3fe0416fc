//! Where writes wait for their transaction: bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::admit::{Hold, Resource, Waiting};
use super::settle::{Crew, run};
use super::{CommitError, GroupLimits, Outcome, Write};
use crate::metrics::Metrics;
use crate::store::transaction::Transactions;

/// How long after its time is up a write in flight may still tell how it ended. The
/// transaction has the same deadline, so this is for the scheduler alone.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The queue in front of MongoDB. Cheap to clone; ends when the last clone is gone and
/// everything queued is settled.
#[derive(Clone)]
pub struct Queue {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    time: Duration,
}

/// How far a write has come; the client that stops waiting must know whether its
/// outcome is open.
#[derive(Debug, Default)]
pub struct Progress(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Progress {
    /// Whether a group may have it.
    pub fn take(&self) -> bool {
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

/// A write on its way, and whom to tell.
pub struct Queued {
    pub write: Arc<Write>,
    bytes: usize,
    pub since: Instant,
    pub progress: Arc<Progress>,
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

impl Queue {
    pub fn start(
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
    pub async fn commit(&self, write: Arc<Write>) -> Outcome {
        let deadline = Instant::now() + self.time;
        let bytes = write.bytes;
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

impl Queued {
    /// A client that has gone needs none.
    pub fn answer(self, outcome: Outcome) {
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

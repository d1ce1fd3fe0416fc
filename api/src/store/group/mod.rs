//! Group commit: while one transaction is in flight, the writes that arrive meanwhile
//! wait, and go into the next one together. Nobody waits when nothing is in flight, and
//! no timer delays anybody, so that a lone request pays nothing.
//!
//! A write waits in the [`queue`], is [`admit`]ted to a group, and the group is
//! [`settle`]d: committed, or taken apart once it is clear who is to [`blame`], so that
//! each write keeps an outcome of its own.

mod admit;
mod blame;
mod queue;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use prometheus::Histogram;

pub use admit::{Hold, Resource};
use queue::Queue;

use super::transaction::Transactions;
use super::{CommitError, Constraint, Write};
use crate::metrics::Metrics;

type Outcome = Result<(), CommitError>;

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
pub enum Committing {
    Each { transactions: Transactions, time: Duration, seconds: Histogram },
    Grouped(Queue),
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
            return Self::Grouped(Queue::start(transactions, limits, time, metrics));
        }
        Self::Each { transactions, time, seconds: metrics.commit_seconds }
    }

    /// Commits a write; it goes on when the caller stops waiting.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, write: Arc<Write>) -> Outcome {
        match self {
            Self::Grouped(queue) => queue.commit(write).await,
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

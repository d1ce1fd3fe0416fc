//! One Kafka transaction per batch: begin, produce all, now and then the checkpoint, commit.
//!
//! There are two threads (`lane.rs`), so that a transaction can be sent while the one before
//! it is committed. It is sent only once the brokers have all of the one before, and committed
//! only once that is committed: otherwise it is aborted. So the order, and what a crash can
//! leave behind, are those of one producer; and whoever claims the shard fences all of them.
//!
//! Two producers take turns. Kafka says that a transaction is committed once that is decided,
//! and tells the partitions afterwards; until then it refuses the producer's next transaction,
//! and librdkafka (2.12) waits 20 ms before it asks again: five times as long as the whole
//! transaction takes. The other producer's transaction lies in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::Shard;
use shared::event::Domain;
use shared::process::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::batch::Batch;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::failure::{InitError, TransactionError};
use crate::kafka::Watch;
use crate::landing::Landing;
use crate::lane::{Job, Lane, Order};
use crate::producer::Producer;
use crate::topics::Topics;

/// Transactions under way at most. As many producers take turns.
const LANES: usize = 2;

/// Events, and the checkpoint after them.
pub struct Portion {
    pub batch: Batch,
    /// How far this brings us.
    pub checkpoint: Checkpoint,
    /// Whether the checkpoint is written down with it.
    pub is_written: bool,
}

/// What came of a transaction.
pub struct Outcome {
    /// `None` where nothing was begun.
    pub sent: Option<Sent>,
    /// Handed back as it came: Kafka will never take some records of the first of these.
    pub unsent: Vec<Portion>,
}

impl Outcome {
    pub fn is_committed(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.result.is_ok())
    }
}

pub struct Sent {
    /// All events of the transaction, to be sent once more where it failed; `None` where
    /// they came in several portions, which are not kept.
    pub whole: Option<Batch>,
    /// After the last portion.
    pub checkpoint: Checkpoint,
    pub is_written: bool,
    pub result: Result<Published, TransactionError>,
}

/// What was committed.
pub struct Published {
    /// Events of each domain.
    pub events: BTreeMap<Domain, u64>,
    /// Where they lie.
    pub landing: Landing,
}

/// Its threads end with it, and with the transactions that are then under way.
pub struct Publisher {
    producers: [Arc<Producer>; LANES],
    /// Whose turn it is.
    next: usize,
    lanes: [mpsc::Sender<Job>; LANES],
}

/// A transaction that a lane is at work on.
pub struct Running {
    producer: usize,
    lane: usize,
    /// The brokers have all of it, so the next one may be sent. Closed without a word where
    /// that will not happen, or something of it was left over.
    pub delivered: Option<oneshot::Receiver<()>>,
    /// For the next one.
    committed: Option<oneshot::Receiver<()>>,
    /// Closed without a word where the lane's thread has panicked.
    pub outcome: oneshot::Receiver<Outcome>,
}

impl Publisher {
    /// Talks to no server yet.
    ///
    /// # Errors
    /// [`InitError::Lost`] where librdkafka refuses a setting.
    pub fn new(
        config: &Config,
        topics: &Topics,
        shard: Shard,
        watch: &Watch,
        stop: &Shutdown,
    ) -> Result<Self, InitError> {
        let producer = |number| {
            Producer::new(config, shard, number, watch.clone(), stop.clone())
                .map(Arc::new)
                .map_err(|error| InitError::Lost(error.to_string()))
        };
        let producers = [producer(0)?, producer(1)?];
        let limit = config.event_max_bytes as usize;
        let lane = Lane { topics: topics.clone(), shard, limit };
        let lanes = [(); LANES].map(|()| {
            let (jobs, waiting) = mpsc::channel(1);
            let (lane, runtime) = (lane.clone(), Handle::current());
            tokio::task::spawn_blocking(move || lane.run(waiting, &runtime));
            jobs
        });
        Ok(Self { producers, next: 0, lanes })
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

    /// Publishes `first`, and what `more` brings, and the checkpoint after the last of it,
    /// if it is to be written, as one atom. An empty batch moves only the checkpoint. It goes on to its end even if
    /// the answer is not awaited; a later claim of the shard decides it.
    ///
    /// `before` is the one before, which must be delivered; `None` where that is over.
    ///
    /// What Kafka does for each partition of each transaction costs it more than a thousand
    /// records, so a backlog goes in few large ones, by `more`. A portion is forgotten once
    /// it is sent.
    pub fn publish(
        &mut self,
        first: Portion,
        more: mpsc::Receiver<Portion>,
        before: Option<&mut Running>,
    ) -> Running {
        let producer = self.next;
        self.next = (producer + 1) % LANES;
        // The first one as far as possible, and all of a backlog: see `lane.rs` for memory.
        let lane = before.as_ref().map_or(0, |before| (before.lane + 1) % LANES);
        let (tell_delivered, delivered) = oneshot::channel();
        let (tell_committed, committed) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        let job = Job {
            producer: self.producers[producer].clone(),
            first,
            more,
            order: Order {
                before: before.and_then(|before| before.committed.take()),
                delivered: tell_delivered,
            },
            committed: tell_committed,
            outcome: answer,
        };
        // Refused only where the thread is gone, and then the answers' channels are closed.
        self.lanes[lane].try_send(job).ok();
        Running { producer, lane, delivered: Some(delivered), committed: Some(committed), outcome }
    }

    /// The next one is made by the producer whose transaction failed: only that can get over
    /// it.
    pub fn try_again(&mut self, failed: &Running) {
        self.next = failed.producer;
    }
}

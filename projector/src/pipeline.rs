//! The loop: gather ─► (decode) ─► settle ─► commit offsets.
//!
//! While one batch is settled, the next one gathers and is decoded. Nobody waits for
//! company: when nothing is being settled, a record goes at once, with what is here.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::process::Shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::batch::Batch;
use crate::consume::{Polled, Source};
use crate::record::{Partition, Record};
use crate::settle::Settler;
use crate::work::{Settled, Work, work};

/// How often commits are refreshed.
const TICK: Duration = Duration::from_millis(500);

/// How often MySQL is asked what it knows, and whether it is there, if it is not busy.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How long the batch in hand may take to be settled at the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// So many records are taken in one go before we look whether the batch in hand is settled.
const RECORDS_AT_ONCE: usize = 256;

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
    /// How long a full batch may keep us from polling. Longer than a large one is settled
    /// in: after a pause librdkafka fetches nothing for up to half a second, and under a
    /// backlog MySQL would stand still for as long. Much shorter than the group's patience.
    pub full_for: Duration,
}

impl Limits {
    /// What is superseded goes where the bytes run short, so that under a backlog of
    /// many events of few entities the batch may grow on.
    fn push(self, batch: &mut Batch, record: Record) {
        batch.push(record);
        if batch.bytes() >= self.bytes {
            batch.make_room(self.bytes);
        }
    }

    fn reached_by(self, batch: &Batch) -> bool {
        batch.len() >= self.events || batch.bytes() >= self.bytes
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("the consumer failed: {0}")]
    Consumer(#[from] KafkaError),
    /// It ends only by a panic, which is logged where it happened.
    #[error("the task that applies batches is gone")]
    Settler,
    /// Again and again: see [`Source::rejoin`].
    #[error(
        "another projector has joined the group with the same PROJECTOR_INSTANCE_ID: each needs \
         one of its own"
    )]
    Fenced,
}

/// Runs until `shutdown`; then settles the batch in hand, commits and leaves the group.
///
/// # Errors
/// [`PipelineError`]: only a restart can help.
pub async fn run(
    source: Source,
    settler: Settler,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), PipelineError> {
    source.subscribe()?;
    let (to_settle, works) = mpsc::channel(1);
    let (done, settled) = mpsc::channel(1);
    let settling = tokio::spawn(work(settler, works, done));
    let mut pipeline = Pipeline {
        source,
        limits,
        to_settle,
        settled,
        checked: Instant::now(),
        gathering: Batch::default(),
        is_settling: false,
        full_since: None,
        is_paused: false,
        lost_in_hand: Vec::new(),
    };
    let result = pipeline.run(&shutdown).await;
    result.and(pipeline.stop(settling).await)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Pipeline {
    source: Source,
    limits: Limits,
    to_settle: mpsc::Sender<Work>,
    settled: mpsc::Receiver<Settled>,
    /// When MySQL was last asked what it knows.
    checked: Instant,
    gathering: Batch,
    is_settling: bool,
    /// Since when the batch that gathers takes no more.
    full_since: Option<Instant>,
    is_paused: bool,
    /// Partitions of the batch being settled that were taken from us meanwhile: its
    /// rows are right, but the offsets are no longer ours to commit.
    lost_in_hand: Vec<Partition>,
}

impl Pipeline {
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), PipelineError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hand_over().await?;
            let is_full = self.limits.reached_by(&self.gathering);
            let full_since = self.full_since.take().unwrap_or_else(Instant::now);
            self.full_since = is_full.then_some(full_since);
            let commit_due = self.source.commit_due();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                settled = self.settled.recv() => {
                    self.take(settled.ok_or(PipelineError::Settler)?);
                }
                polled = self.source.next(), if !is_full || self.is_paused => match polled {
                    Polled::Record(record) => {
                        self.limits.push(&mut self.gathering, record);
                        self.gather_what_is_here();
                    }
                    Polled::Revoked(revoked) => self.forget(revoked),
                    Polled::Failed(error) => match failed(error) {
                        PipelineError::Fenced if self.source.rejoin()? => {}
                        error => return Err(error),
                    },
                },
                () = until(commit_due) => self.source.commit_now(),
                _ = tick.tick() => {
                    self.source.refresh()?;
                    if is_full && full_since.elapsed() >= self.limits.full_for {
                        // Settling takes long. From here on we poll without receiving, so
                        // that the group does not take us for stuck. Again at each tick,
                        // for partitions that were assigned meanwhile.
                        self.source.pause()?;
                        self.is_paused = true;
                    }
                }
            }
        }
    }

    fn gather_what_is_here(&mut self) {
        for _ in 0..RECORDS_AT_ONCE {
            if self.limits.reached_by(&self.gathering) {
                return;
            }
            match self.source.next_if_any() {
                Some(record) => self.limits.push(&mut self.gathering, record),
                None => return,
            }
        }
    }

    /// If nothing is being settled, what is gathered goes.
    async fn hand_over(&mut self) -> Result<(), PipelineError> {
        if self.is_settling {
            return Ok(());
        }
        let is_check_due = self.checked.elapsed() >= CHECK_EVERY;
        if !is_check_due && self.gathering.is_empty() {
            return Ok(());
        }
        let work = if is_check_due {
            self.checked = Instant::now();
            Work::Check(self.source.checkup())
        } else {
            Work::Settle(std::mem::take(&mut self.gathering))
        };
        self.to_settle.send(work).await.map_err(|_| PipelineError::Settler)?;
        self.is_settling = true;
        if self.is_paused && self.gathering.is_empty() {
            self.source.resume()?;
            self.is_paused = false;
        }
        Ok(())
    }

    fn take(&mut self, settled: Settled) {
        self.is_settling = false;
        let lost = std::mem::take(&mut self.lost_in_hand);
        match settled {
            Settled::Applied(positions) => {
                let ours = positions.iter().filter(|(partition, _)| !lost.contains(partition));
                self.source.commit(ours);
            }
            Settled::Checked(losses) => self.source.set_losses(&losses),
            Settled::Behind => {
                // It lacks what was applied: all that we hold belongs behind that.
                self.gathering = Batch::default();
                self.source.read_anew();
            }
        }
    }

    /// Records of a partition that was taken from us belong to its new owner, who reads
    /// them again from the last commit. What is gathered of them is dropped whole; what
    /// is being settled is settled whole, and not committed.
    fn forget(&mut self, revoked: Vec<Partition>) {
        let gathering = std::mem::take(&mut self.gathering);
        self.gathering = gathering.without(|partition| revoked.contains(partition));
        if self.is_settling {
            self.lost_in_hand.extend(revoked);
        }
    }

    /// The batch in hand is settled or given up, depending on whether MySQL answers.
    async fn stop(mut self, settling: tokio::task::JoinHandle<()>) -> Result<(), PipelineError> {
        if self.is_settling
            && let Ok(Some(settled)) = timeout(STOP_TIMEOUT, self.settled.recv()).await
        {
            self.take(settled);
        }
        let Self { source, to_settle, settled, .. } = self;
        drop((to_settle, settled));
        source.close().await;
        match timeout(STOP_TIMEOUT, settling).await {
            Ok(ended) => ended.map_err(|_| PipelineError::Settler),
            // MySQL says nothing. What it has or has not is read again.
            Err(_) => Ok(()),
        }
    }
}

fn failed(error: KafkaError) -> PipelineError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::FencedMemberEpoch) => {
            PipelineError::Fenced
        }
        _ => PipelineError::Consumer(error),
    }
}

//! The loop: gather ─► (decode) ─► settle ─► commit offsets.
//!
//! While one batch is settled, the next one gathers and is decoded. Nobody waits for
//! company: when nothing is being settled, a record goes at once, with what is here.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::process::Shutdown;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::batch::{Batch, Position};
use crate::consume::{Polled, Source};
use crate::lag::Lag;
use crate::record::{Partition, Record};
use crate::settle::{Settler, Stopped};

/// How often commits are refreshed.
const TICK: Duration = Duration::from_millis(500);

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

type Positions = BTreeMap<Partition, Position>;

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("the consumer failed: {0}")]
    Consumer(#[from] rdkafka::error::KafkaError),
    /// It ends only by a panic, which is logged where it happened.
    #[error("the task that applies batches is gone")]
    Settler,
}

/// Runs until `shutdown`; then settles the batch in hand, commits and leaves the group.
///
/// # Errors
/// [`PipelineError`]: only a restart can help.
pub async fn run(
    source: Source,
    settler: Settler,
    lag: Lag,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), PipelineError> {
    source.subscribe()?;
    let (to_settle, batches) = mpsc::channel(1);
    let (settled, positions) = mpsc::channel(1);
    let settling = tokio::spawn(settle_all(settler, batches, settled));
    let mut pipeline = Pipeline {
        source,
        lag,
        limits,
        to_settle,
        positions,
        gathering: Batch::default(),
        is_settling: false,
        full_since: None,
        is_paused: false,
        lost_in_hand: Vec::new(),
    };
    let result = pipeline.run(&shutdown).await;
    result.and(pipeline.stop(settling).await)
}

async fn settle_all(
    mut settler: Settler,
    mut batches: mpsc::Receiver<Batch>,
    settled: mpsc::Sender<Positions>,
) {
    while let Some(mut batch) = batches.recv().await {
        let positions = batch.positions().clone();
        match settler.settle(&mut batch).await {
            Ok(()) => {
                // The rows are no longer needed, and while they are dropped nobody waits.
                let sent = settled.send(positions).await;
                drop(batch);
                if sent.is_err() {
                    return;
                }
            }
            Err(Stopped) => return,
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Pipeline {
    source: Source,
    lag: Lag,
    limits: Limits,
    to_settle: mpsc::Sender<Batch>,
    positions: mpsc::Receiver<Positions>,
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
                positions = self.positions.recv() => {
                    self.commit(positions.ok_or(PipelineError::Settler)?)?;
                }
                polled = self.source.next(), if !is_full || self.is_paused => match polled {
                    Polled::Record(record) => {
                        self.limits.push(&mut self.gathering, record);
                        self.gather_what_is_here();
                    }
                    Polled::Revoked(revoked) => self.forget(revoked),
                },
                () = until(commit_due) => self.source.commit_now(),
                _ = tick.tick() => {
                    self.source.refresh_commits();
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

    /// Where nothing is being settled, what is gathered goes.
    async fn hand_over(&mut self) -> Result<(), PipelineError> {
        if self.is_settling || self.gathering.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.gathering);
        self.to_settle.send(batch).await.map_err(|_| PipelineError::Settler)?;
        self.is_settling = true;
        if self.is_paused {
            self.source.resume()?;
            self.is_paused = false;
        }
        Ok(())
    }

    fn commit(&mut self, positions: Positions) -> Result<(), PipelineError> {
        self.is_settling = false;
        let lost = std::mem::take(&mut self.lost_in_hand);
        let ours = || positions.iter().filter(|(partition, _)| !lost.contains(partition));
        for (partition, position) in ours() {
            self.lag.applied(partition, position.offset, position.system_time());
        }
        self.source.commit(ours().map(|(partition, position)| (partition, position.offset + 1)));
        Ok(())
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
            && let Some(positions) = self.positions.recv().await
        {
            self.commit(positions)?;
        }
        let Self { source, to_settle, .. } = self;
        drop(to_settle);
        settling.await.map_err(|_| PipelineError::Settler)?;
        // Leaving the group waits for the brokers.
        tokio::task::spawn_blocking(move || source.close())
            .await
            .map_err(|_| PipelineError::Settler)
    }
}

//! A batch is settled once every record of it is in MySQL or in the dead-letter topic.

use std::time::{Duration, Instant, SystemTime};

use shared::process::{Dependency, MysqlSettings, RetryPolicy, Shutdown};
use tokio::time::timeout;

use crate::apply::{Applied, apply};
use crate::batch::{Batch, Position};
use crate::checkup::{Floors, is_behind};
use crate::database::Writer;
use crate::dead_letter::DeadLetters;
use crate::metrics::Metrics;
use crate::poison::Poison;
use crate::recall::Recall;
use crate::record::{Partition, Record};
use crate::refusal::ApplyError;
use crate::tables::ProgressRow;

/// A transaction that has not come back by then hangs on a dead connection: row locks
/// time out much earlier.
const APPLY_TIMEOUT: Duration = Duration::from_secs(120);

/// For deadlocks and lock timeouts: the other one is done in a moment.
const BUSY_RETRY: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(5), max: Duration::from_millis(500) };

/// Applies batches, one after the other, for as long as it takes.
pub struct Settler {
    pub mysql_settings: MysqlSettings,
    pub mysql: Dependency,
    pub kafka: Dependency,
    pub dead_letters: DeadLetters,
    pub(crate) recall: Recall,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub(crate) writer: Option<Writer>,
    /// Of the batch in hand.
    pub(crate) floors: Floors,
}

/// Why a batch is not settled. Whatever of it is in MySQL already will be read again and
/// change nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// The process is to stop, and a server is away.
    #[error("stopped before the batch was settled")]
    Stopped,
    /// MySQL knows less than it did: what it lacks comes first.
    #[error("MySQL went back in time")]
    Behind,
}

impl Settler {
    /// # Errors
    /// [`Unsettled`], and nothing else.
    pub async fn settle(&mut self, batch: &mut Batch) -> Result<(), Unsettled> {
        let begun = Instant::now();
        let floors = batch.positions().iter();
        self.floors =
            floors.filter_map(|(partition, at)| Some((partition.clone(), at.after?))).collect();
        self.metrics.batch_size.observe(batch.len() as f64);
        for (record, poison) in batch.poisoned() {
            self.bury(record, poison).await?;
        }
        match self.apply_patiently(batch).await? {
            Ok(applied) => self.count(batch, applied),
            Err(poison) => self.settle_without_the_guilty(batch, poison).await?,
        }
        self.metrics.apply_seconds.observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    async fn settle_without_the_guilty(
        &mut self,
        batch: &mut Batch,
        poison: Poison,
    ) -> Result<(), Unsettled> {
        let progress = batch.progress();
        if batch.is_whole() {
            self.bisect(std::mem::take(batch), poison).await?;
        } else {
            // Without the guilty record some count again that it had superseded.
            for (partition, position) in std::mem::take(batch).positions() {
                self.settle_again(partition, position).await?;
            }
        }
        // What became a dead letter is dealt with, too.
        let _ = self.apply_with(&Batch::default(), &progress).await?;
        Ok(())
    }

    /// All that a batch took of a partition, read again in pieces that forget nothing.
    /// What is poison by itself is buried already.
    async fn settle_again(
        &mut self,
        partition: &Partition,
        position: &Position,
    ) -> Result<(), Unsettled> {
        let mut from = position.first;
        loop {
            let mut piece = Batch::default();
            for record in self.recall_patiently(partition, position, from).await? {
                piece.push(record);
            }
            let Some(last) = piece.positions().get(partition) else {
                return Ok(());
            };
            from = last.offset + 1;
            match self.apply_patiently(&piece).await? {
                Ok(applied) => self.count(&piece, applied),
                Err(poison) => self.bisect(piece, poison).await?,
            }
        }
    }

    async fn recall_patiently(
        &mut self,
        partition: &Partition,
        position: &Position,
        from: i64,
    ) -> Result<Vec<Record>, Unsettled> {
        let mut waits = RetryPolicy::default().waits();
        loop {
            match self.recall.piece(partition, position, from).await {
                Ok(records) => {
                    self.kafka.up();
                    return Ok(records);
                }
                Err(error) => self.kafka.down(&error),
            }
            self.pause(waits.next().unwrap_or_default()).await?;
        }
    }

    /// MySQL refused a row of the batch: halves it until the guilty record is alone, so
    /// that all others are applied. In the order of the records, so that progress only
    /// moves forward.
    async fn bisect(&mut self, refused: Batch, poison: Poison) -> Result<(), Unsettled> {
        let mut verdicts = vec![(refused, poison)];
        while let Some((batch, poison)) = verdicts.pop() {
            let (earlier, later) = batch.halves();
            if later.is_empty() {
                for record in earlier.records() {
                    self.bury(record, &poison).await?;
                }
                continue;
            }
            let mut refused = Vec::new();
            for half in [earlier, later] {
                match self.apply_patiently(&half).await? {
                    Ok(applied) => self.count(&half, applied),
                    Err(poison) => refused.push((half, poison)),
                }
            }
            verdicts.extend(refused.into_iter().rev());
        }
        Ok(())
    }

    /// Tries until MySQL has taken the batch or says that a row of it is to blame.
    async fn apply_patiently(
        &mut self,
        batch: &Batch,
    ) -> Result<Result<Applied, Poison>, Unsettled> {
        self.apply_with(batch, &batch.progress()).await
    }

    async fn apply_with(
        &mut self,
        batch: &Batch,
        progress: &[ProgressRow],
    ) -> Result<Result<Applied, Poison>, Unsettled> {
        let mut away = RetryPolicy::default().waits();
        let mut busy = BUSY_RETRY.waits();
        loop {
            let wait = match self.attempt(batch, progress).await {
                Ok(Some(applied)) => {
                    self.mysql.up();
                    return Ok(Ok(applied));
                }
                Ok(None) => return Err(Unsettled::Behind),
                Err(ApplyError::Refused(poison)) => return Ok(Err(poison)),
                Err(ApplyError::Busy(error)) => {
                    tracing::debug!(error, "the transaction is tried again");
                    self.metrics.retries.with_label_values(&["busy"]).inc();
                    busy.next()
                }
                Err(ApplyError::Away(error)) => {
                    self.writer = None;
                    self.mysql.down(error);
                    self.metrics.retries.with_label_values(&["away"]).inc();
                    away.next()
                }
            };
            self.pause(wait.unwrap_or_default()).await?;
        }
    }

    /// `None` if MySQL is behind. A new connection may lead to another server, or to an
    /// earlier state of the same: so it is asked first.
    async fn attempt(
        &mut self,
        batch: &Batch,
        progress: &[ProgressRow],
    ) -> Result<Option<Applied>, ApplyError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let mut writer = Writer::connect(&self.mysql_settings).await?;
                if is_behind(&mut writer, &self.floors).await? {
                    return Ok(None);
                }
                writer
            }
        };
        let attempt = apply(&mut writer, batch.writes(), progress);
        let result = timeout(APPLY_TIMEOUT, attempt)
            .await
            .unwrap_or_else(|_| Err(ApplyError::Away("no answer".to_owned())));
        if !matches!(result, Err(ApplyError::Away(_))) {
            self.writer = Some(writer);
        }
        result.map(Some)
    }

    async fn bury(&mut self, record: &Record, poison: &Poison) -> Result<(), Unsettled> {
        let mut waits = RetryPolicy::default().waits();
        while let Err(error) = self.dead_letters.send(record, poison).await {
            self.kafka.down(&error);
            self.pause(waits.next().unwrap_or_default()).await?;
            // Somebody may have deleted it.
            if let Err(error) = self.dead_letters.ensure_topic().await {
                self.kafka.down(&error);
            }
        }
        self.kafka.up();
        self.metrics.dead_letters.with_label_values(&[poison.reason.as_str()]).inc();
        // Not the error: it may quote the record.
        tracing::warn!(
            reason = poison.reason.as_str(),
            topic = &*record.partition.topic,
            partition = record.partition.partition,
            offset = record.offset,
            "dead letter"
        );
        Ok(())
    }

    fn count(&self, batch: &Batch, applied: Applied) {
        let now = SystemTime::now();
        for moment in batch.moments() {
            let moment: SystemTime = moment.and_utc().into();
            // A writer's clock that runs ahead of ours gives no negative latency.
            let latency = now.duration_since(moment).unwrap_or_default();
            self.metrics.end_to_end_latency.observe(latency.as_secs_f64());
        }
        self.metrics.stale.inc_by(batch.stale() + applied.stale);
        for (topic, events) in batch.events_by_topic() {
            self.metrics.applied.with_label_values(&[topic]).inc_by(events);
        }
    }

    pub(crate) async fn pause(&mut self, wait: Duration) -> Result<(), Unsettled> {
        tokio::select! {
            () = self.shutdown.cancelled() => Err(Unsettled::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

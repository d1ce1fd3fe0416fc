//! A batch is settled once every record of it is in MySQL or in the dead-letter topic.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use shared::process::{Dependency, MysqlSettings, RetryPolicy, Shutdown};

use crate::apply::Applied;
use crate::attempt::Setback;
use crate::batch::{Batch, Position};
use crate::blockade::{Blockade, Cause};
use crate::checkup::Floors;
use crate::database::Writer;
use crate::dead_letter::DeadLetters;
use crate::judge::InARow;
use crate::metrics::Metrics;
use crate::recall::Recall;
use crate::record::{Partition, Record};

/// Applies batches, one after the other, for as long as it takes.
pub struct Settler {
    pub mysql_settings: MysqlSettings,
    /// A transaction that takes longer is given up.
    pub apply_timeout: Duration,
    pub mysql: Dependency,
    pub kafka: Dependency,
    pub dead_letters: DeadLetters,
    pub(crate) recall: Recall,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub(crate) blockade: Blockade,
    pub(crate) in_a_row: InARow,
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

/// Where a record is.
type Origin = (Partition, i64);

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
        match self.apply_patiently(batch, &batch.progress()).await? {
            Ok(applied) => self.count(batch, applied),
            Err(setback) => {
                let progress = batch.progress();
                if batch.is_whole() {
                    self.divide(std::mem::take(batch), setback).await?;
                } else {
                    self.divide_and_recall(std::mem::take(batch), setback).await?;
                }
                // What became a dead letter is dealt with, too.
                let _ = self.apply_patiently(&Batch::default(), &progress).await?;
            }
        }
        self.metrics.apply_seconds.observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// MySQL does not take the batch as it is: halves it until what it takes is applied
    /// and a record that it refuses is alone. In the order of the records, so that progress
    /// only moves forward. Returns how many records became dead letters.
    async fn divide(&mut self, batch: Batch, setback: Setback) -> Result<usize, Unsettled> {
        let mut buried = 0;
        let mut left = vec![(batch, setback)];
        while let Some((batch, setback)) = left.pop() {
            let (earlier, later) = batch.halves();
            if later.is_empty() {
                buried += usize::from(self.settle_lone(earlier, setback).await?);
                continue;
            }
            let mut refused = Vec::new();
            for half in [earlier, later] {
                match self.apply_patiently(&half, &half.progress()).await? {
                    Ok(applied) => self.count(&half, applied),
                    Err(setback) => refused.push((half, setback)),
                }
            }
            left.extend(refused.into_iter().rev());
        }
        Ok(buried)
    }

    /// As [`Self::divide`], of a batch that has forgotten some of its records: without the
    /// record that superseded them, and was refused, they count again.
    async fn divide_and_recall(&mut self, batch: Batch, setback: Setback) -> Result<(), Unsettled> {
        let positions = batch.positions().clone();
        let origin = |record: &Record| (record.partition.clone(), record.offset);
        let held: HashSet<Origin> = batch.records().iter().map(origin).collect();
        if self.divide(batch, setback).await? == 0 {
            return Ok(());
        }
        for (partition, position) in positions {
            self.settle_forgotten(&partition, &position, &held).await?;
        }
        Ok(())
    }

    /// What a batch took of a partition and did not hold, read again in pieces that forget
    /// nothing. What is poison by itself is buried already.
    async fn settle_forgotten(
        &mut self,
        partition: &Partition,
        position: &Position,
        held: &HashSet<Origin>,
    ) -> Result<(), Unsettled> {
        let mut from = position.first;
        loop {
            let records = self.recall_patiently(partition, position, from).await?;
            let Some(last) = records.last() else {
                return Ok(());
            };
            from = last.offset + 1;
            let mut piece = Batch::default();
            for record in records {
                if !held.contains(&(record.partition.clone(), record.offset)) {
                    piece.push(record);
                }
            }
            if piece.is_empty() {
                continue;
            }
            // Its progress is behind what is applied already.
            match self.apply_patiently(&piece, &[]).await? {
                Ok(applied) => self.count(&piece, applied),
                Err(setback) => drop(self.divide(piece, setback).await?),
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

    /// One record that MySQL does not take: a dead letter if it is the record's fault, and
    /// else an outage that is waited out. Returns whether it became a letter.
    async fn settle_lone(&mut self, batch: Batch, setback: Setback) -> Result<bool, Unsettled> {
        let mut setback = setback;
        let mut waits = RetryPolicy::default().waits();
        loop {
            let (cause, reason) = match &setback {
                Setback::Slow(reason) => (Cause::Slow, reason.clone()),
                Setback::Refused(refusal) => match self.judge(&batch, refusal).await {
                    Ok(poison) => {
                        for record in batch.records() {
                            self.bury(record, &poison).await?;
                        }
                        return Ok(true);
                    }
                    Err(reason) => (Cause::Refused, reason),
                },
            };
            self.metrics.retries.with_label_values(&[cause.as_str()]).inc();
            self.blockade.stand(cause, &self.mysql, &reason);
            self.pause(waits.next().unwrap_or_default()).await?;
            match self.apply_patiently(&batch, &batch.progress()).await? {
                Ok(applied) => {
                    self.count(&batch, applied);
                    return Ok(false);
                }
                Err(again) => setback = again,
            }
        }
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

//! A transaction, tried until MySQL has taken it or will not take it as it is.

use std::time::{Duration, Instant};

use shared::process::RetryPolicy;

use crate::apply::{Applied, apply};
use crate::batch::Batch;
use crate::blockade::Cause;
use crate::checkup::is_behind;
use crate::database::{DatabaseError, Writer, kill};
use crate::refusal::{ApplyError, Refusal};
use crate::settle::{Settler, Unsettled};
use crate::tables::ProgressRow;

/// What takes longer is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// A refusal makes us look at the tables, but not more often than this.
const VET_AFTER: Duration = Duration::from_secs(1);

/// For deadlocks and lock timeouts: the other one is done in a moment.
const BUSY_RETRY: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(5), max: Duration::from_millis(500) };

/// Why a batch should be tried in smaller parts.
#[derive(Debug)]
pub(crate) enum Setback {
    Refused(Refusal),
    /// It took too long, and the server, which answers, was told to give it up.
    Slow(String),
}

enum Failure {
    Apply(ApplyError),
    Slow(String),
    /// MySQL knows less than it was told.
    Behind,
}

impl<E: Into<ApplyError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Apply(error.into())
    }
}

impl Settler {
    /// The inner error: no attempt with the same batch is likely to succeed.
    pub(crate) async fn apply_patiently(
        &mut self,
        batch: &Batch,
        progress: &[ProgressRow],
    ) -> Result<Result<Applied, Setback>, Unsettled> {
        let begun = Instant::now();
        let mut away = RetryPolicy::default().waits();
        let mut busy = BUSY_RETRY.waits();
        loop {
            let (cause, reason) = match self.attempt(batch, progress).await {
                Ok(applied) => {
                    self.blockade.lift(&self.mysql);
                    if !batch.moments().is_empty() {
                        self.in_a_row.end();
                    }
                    return Ok(Ok(applied));
                }
                Err(Failure::Behind) => return Err(Unsettled::Behind),
                Err(Failure::Slow(reason)) => return Ok(Err(Setback::Slow(reason))),
                Err(Failure::Apply(ApplyError::Refused(refusal))) => match self.vet().await {
                    None => return Ok(Err(Setback::Refused(refusal))),
                    Some(difference) => (Cause::Schema, difference),
                },
                Err(Failure::Apply(ApplyError::Busy(error))) => (Cause::Busy, error),
                Err(Failure::Apply(ApplyError::Away(error))) => (Cause::Away, error),
                Err(Failure::Apply(ApplyError::Drift(error))) => (Cause::Schema, error),
            };
            self.metrics.retries.with_label_values(&[cause.as_str()]).inc();
            let wait = if cause == Cause::Busy { busy.next() } else { away.next() };
            if cause != Cause::Busy {
                self.writer = None;
                self.blockade.stand(cause, &self.mysql, &reason);
            } else if begun.elapsed() >= PATIENCE {
                let reason = format!("busy for {} s: {reason}", begun.elapsed().as_secs());
                self.blockade.stand(cause, &self.mysql, &reason);
            } else {
                tracing::debug!(reason, "the transaction is tried again");
            }
            self.pause(wait.unwrap_or_default()).await?;
        }
    }

    /// Leaves no writer behind that may be of no further use.
    async fn attempt(
        &mut self,
        batch: &Batch,
        progress: &[ProgressRow],
    ) -> Result<Applied, Failure> {
        let mut writer = self.vetted_writer().await?;
        let mut applying = Box::pin(apply(&mut writer, batch.writes(), progress));
        let limit = self.apply_timeout;
        let patience = PATIENCE.min(limit);
        let mut result = tokio::time::timeout(patience, &mut applying).await;
        if result.is_err() && patience < limit {
            let reason = format!("no answer to a transaction for {} s", patience.as_secs());
            self.blockade.stand(Cause::Slow, &self.mysql, &reason);
            result = tokio::time::timeout(limit - patience, &mut applying).await;
        }
        drop(applying);
        let Ok(result) = result else {
            return Err(self.give_up(writer.id).await);
        };
        if !matches!(result, Err(ApplyError::Away(_))) {
            self.writer = Some(writer);
        }
        Ok(result?)
    }

    /// The connection, still usable as far as one can tell, or a new one.
    async fn vetted_writer(&mut self) -> Result<Writer, Failure> {
        if let Some(mut writer) = self.writer.take() {
            match writer.vet_unless_within(Writer::VET_EVERY).await {
                Ok(()) => return Ok(writer),
                Err(difference @ DatabaseError::Drift(_)) => return Err(difference.into()),
                // The server or a firewall has closed it meanwhile.
                Err(error) => tracing::debug!(%error, "connecting again"),
            }
        }
        // It may lead to another server, or to an earlier state of the same.
        let mut writer = Writer::connect(&self.mysql_settings).await?;
        if is_behind(&mut writer, &self.floors).await? {
            return Err(Failure::Behind);
        }
        Ok(writer)
    }

    /// After a refusal: how the tables differ from those that the projector writes.
    async fn vet(&mut self) -> Option<String> {
        match self.writer.as_mut()?.vet_unless_within(VET_AFTER).await {
            Ok(()) => None,
            Err(DatabaseError::Drift(difference)) => Some(difference),
            Err(error) => {
                tracing::debug!(%error, "the connection is lost");
                self.writer = None;
                None
            }
        }
    }

    /// The server goes on with a statement whose client is gone, and keeps its locks.
    async fn give_up(&mut self, connection: u32) -> Failure {
        let seconds = self.apply_timeout.as_secs();
        match kill(&self.mysql_settings, connection).await {
            Ok(()) => Failure::Slow(format!("a transaction took longer than {seconds} s")),
            Err(error) => Failure::Apply(ApplyError::Away(format!(
                "no answer within {seconds} s, and then: {error}"
            ))),
        }
    }
}

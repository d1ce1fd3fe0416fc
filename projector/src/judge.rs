//! Whose fault a refusal is.

use std::pin::pin;

use diesel_async::SimpleAsyncConnection;
use futures::StreamExt;

use crate::batch::Batch;
use crate::database::{DatabaseError, Writer};
use crate::fit::misfit;
use crate::poison::{Poison, Reason};
use crate::refusal::{DUPLICATE, PACKET_TOO_LARGE, Refusal};
use crate::settle::Settler;
use crate::tables::OrderRow;

/// Refusals one after the other, with nothing applied in between.
#[derive(Debug, Default)]
pub(crate) struct InARow {
    /// 0: as many as come.
    limit: u32,
    code: i64,
    refusals: u32,
}

impl InARow {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn end(&mut self) {
        self.refusals = 0;
    }

    /// Whether one more is still a matter of its own.
    fn admit(&mut self, code: i64) -> bool {
        if self.code != code {
            (self.code, self.refusals) = (code, 0);
        }
        if self.limit > 0 && self.refusals >= self.limit {
            return false;
        }
        self.refusals = self.refusals.saturating_add(1);
        true
    }
}

impl Settler {
    /// Why the lone record of `batch` can never be applied. It takes two witnesses: MySQL,
    /// which refuses it, and the tables as the projector made them, which have no room for
    /// it either.
    ///
    /// # Errors
    /// What is to be waited for, where the record is not to blame.
    pub(crate) async fn judge(
        &mut self,
        batch: &Batch,
        refusal: &Refusal,
    ) -> Result<Poison, String> {
        let Some(poison) = self.fault(batch, refusal).await? else {
            return Err(match refusal.code {
                PACKET_TOO_LARGE => format!(
                    "MySQL's max_allowed_packet is too small for a record of {} bytes",
                    batch.bytes()
                ),
                _ => format!("MySQL refuses a record that fits the tables: {}", refusal.loggable()),
            });
        };
        if self.in_a_row.admit(refusal.code) {
            return Ok(poison);
        }
        Err(format!(
            "MySQL has refused {} records in a row with error {} and taken none; the next: {}",
            self.in_a_row.limit,
            refusal.code,
            refusal.loggable()
        ))
    }

    async fn fault(&mut self, batch: &Batch, refusal: &Refusal) -> Result<Option<Poison>, String> {
        let mut portions = pin!(batch.writes());
        while let Some(writes) = portions.next().await {
            if let Some(reason) = misfit(&writes) {
                return Ok(Some(Reason::Refused.because(format!("{reason}; {refusal}"))));
            }
            if !DUPLICATE.contains(&refusal.code) {
                continue;
            }
            for order in &writes.orders {
                if self.is_number_taken(order).await.map_err(|error| error.to_string())? {
                    let error = "another order has this order_number";
                    return Ok(Some(Reason::OrderNumberTaken.because(error)));
                }
            }
        }
        Ok(None)
    }

    async fn is_number_taken(&mut self, order: &OrderRow) -> Result<bool, DatabaseError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => Writer::connect(&self.mysql_settings).await?,
        };
        let is_taken = order.is_number_taken(&mut writer.connection).await?;
        writer.connection.batch_execute("ROLLBACK").await?;
        self.writer = Some(writer);
        Ok(is_taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_the_same_refusal_ends_in_an_outage() {
        let mut run = InARow::new(3);
        assert!((0..3).all(|_| run.admit(1406)));
        assert!(!run.admit(1406) && !run.admit(1406));
        assert!(run.admit(1264), "another error");
        run.end();
        assert!((0..3).all(|_| run.admit(1264)));
        assert!(!run.admit(1264));
        let mut endless = InARow::new(0);
        assert!((0..1_000).all(|_| endless.admit(1406)));
    }
}

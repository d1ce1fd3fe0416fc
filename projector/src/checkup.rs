//! Whether MySQL still knows what it was told. A server that was restored, failed over or
//! emptied does not; it says nothing about it, and its clients only see a new connection.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use shared::process::RetryPolicy;
use tokio::time::timeout;

use crate::database::{DatabaseError, Writer};
use crate::record::Partition;
use crate::settle::{Settler, Unsettled};
use crate::tables::{LossRow, ProgressRow};

/// To say what it knows takes MySQL a millisecond, or as long as a lock is waited for.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The offset that MySQL must at least show of each partition.
pub(crate) type Floors = BTreeMap<Partition, i64>;

/// What MySQL is asked and told once in a while, also if there is nothing to apply.
#[derive(Debug, Default)]
pub struct Checkup {
    pub(crate) floors: Floors,
    /// The partitions that are dealt with beyond the record at their floor, up to here.
    pub(crate) reached: BTreeMap<Partition, i64>,
}

impl Settler {
    /// Asks MySQL what it knows, for as long as it takes, and tells it how far the partitions
    /// are dealt with beyond their last record.
    ///
    /// # Errors
    /// [`Unsettled`], and nothing else.
    pub async fn check(&mut self, checkup: &Checkup) -> Result<Vec<LossRow>, Unsettled> {
        let mut waits = RetryPolicy::default().waits();
        loop {
            let looked = timeout(TIMEOUT, self.look(checkup)).await;
            match looked.unwrap_or(Err(DatabaseError::Timeout)) {
                Ok(looked) => {
                    self.mysql.up();
                    return looked.ok_or(Unsettled::Behind);
                }
                Err(error) => self.mysql.down(error),
            }
            self.pause(waits.next().unwrap_or_default()).await?;
        }
    }

    /// The losses that nobody has acknowledged; `None` if MySQL is behind.
    async fn look(&mut self, checkup: &Checkup) -> Result<Option<Vec<LossRow>>, DatabaseError> {
        // Left out if anything fails: the next attempt makes another one.
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => Writer::connect(&self.mysql_settings).await?,
        };
        writer.vet_unless_within(Writer::VET_EVERY).await?;
        if is_behind(&mut writer, &checkup.floors).await? {
            return Ok(None);
        }
        let losses = LossRow::open(&mut writer.connection).await?;
        let reached = checkup.reached.iter();
        let reached = reached.filter_map(|(partition, next)| {
            Some(ProgressRow::reach(partition, *checkup.floors.get(partition)?, *next))
        });
        writer.connection.batch_execute(&format!("{} COMMIT", reached.collect::<String>())).await?;
        self.writer = Some(writer);
        Ok(Some(losses))
    }
}

/// Whether MySQL shows less of a partition than it was told, or than it has shown before.
///
/// # Errors
/// If it does not say: the connection is of no further use.
pub(crate) async fn is_behind(writer: &mut Writer, floors: &Floors) -> Result<bool, DatabaseError> {
    let mut topics: Vec<_> = floors.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    if topics.is_empty() {
        return Ok(false);
    }
    let asking = ProgressRow::of(&mut writer.connection, &topics);
    let rows = timeout(TIMEOUT, asking).await.map_err(|_| DatabaseError::Timeout)??;
    let shown =
        |partition: &Partition| rows.iter().find(|row| row.is_of(partition)).map(|row| row.offset);
    Ok(floors.iter().any(|(partition, floor)| shown(partition).is_none_or(|shown| shown < *floor)))
}

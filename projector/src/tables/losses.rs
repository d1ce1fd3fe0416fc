use std::ops::Range;

use chrono::NaiveDateTime;
use diesel::QueryResult;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::text_literal;
use crate::database::Connection;
use crate::record::Partition;
use crate::schema::projection_losses;

/// So many are looked at: the most recent ones.
const MOST: i64 = 1_000;

/// Records of one partition that Kafka deleted before the projector had read them.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = projection_losses, check_for_backend(diesel::mysql::Mysql))]
pub struct LossRow {
    pub topic: String,
    pub partition: i32,
    pub from_offset: i64,
    /// The first one that was still there.
    pub to_offset: i64,
    pub noticed_at: NaiveDateTime,
    /// When somebody had mended it.
    pub acknowledged_at: Option<NaiveDateTime>,
}

impl LossRow {
    /// Returns those that nobody has acknowledged, the most recent last.
    ///
    /// # Errors
    /// As the server answers.
    pub(crate) async fn open(connection: &mut Connection) -> QueryResult<Vec<Self>> {
        let mut rows: Vec<Self> = projection_losses::table
            .filter(projection_losses::acknowledged_at.is_null())
            .order(projection_losses::noticed_at.desc())
            .limit(MOST)
            .load(connection)
            .await?;
        rows.reverse();
        Ok(rows)
    }

    pub(crate) fn is_of(&self, partition: &Partition) -> bool {
        self.partition == partition.partition && *self.topic == *partition.topic
    }

    /// Keeps the loss, and moves the partition's progress behind it, so that it is noticed
    /// once. To be executed in a transaction.
    pub(crate) fn keep(partition: &Partition, lost: &Range<i64>) -> String {
        let Range { start, end } = lost;
        let topic = text_literal(&partition.topic);
        let number = partition.partition;
        format!(
            "INSERT INTO projection_losses \
             (topic, `partition`, from_offset, to_offset, noticed_at) \
             VALUES ({topic}, {number}, {start}, {end}, UTC_TIMESTAMP(6)) \
             ON DUPLICATE KEY UPDATE noticed_at = VALUES(noticed_at), acknowledged_at = NULL; \
             INSERT INTO projection_progress (topic, `partition`, `offset`, next_offset) \
             VALUES ({topic}, {number}, {end} - 1, {end}) \
             ON DUPLICATE KEY UPDATE next_offset = GREATEST(COALESCE(next_offset, 0), {end});"
        )
    }
}

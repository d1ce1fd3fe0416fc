use chrono::NaiveDateTime;
use diesel::QueryResult;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use super::text_literal;
use crate::database::Connection;
use crate::record::Partition;
use crate::schema::projection_progress;

/// How far one partition is applied. MySQL is the authority for it: the row is written in the
/// transaction of the rows themselves, so a MySQL that went back in time says so here.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable)]
#[diesel(table_name = projection_progress, check_for_backend(diesel::mysql::Mysql))]
pub struct ProgressRow {
    pub topic: String,
    pub partition: i32,
    /// Of the last record dealt with.
    pub offset: i64,
    /// The moment of the newest event up to there.
    pub event_timestamp: Option<NaiveDateTime>,
    /// Of the record at `offset`; `None` if it names none.
    pub event_id: Option<String>,
    /// All before it is dealt with: the markers of transactions and lost records, too. `None`
    /// in a row that an older release wrote.
    pub next_offset: Option<i64>,
}

/// An owner of the partition that finishes late does not set it back. (Who has to set it
/// back deletes the row: [`ProgressRow::forget`].) `offset` comes last, because each
/// assignment sees those before it.
const GREATEST_WINS: &str = " ON DUPLICATE KEY UPDATE \
     event_id = IF(VALUES(`offset`) >= `offset`, VALUES(event_id), event_id), \
     event_timestamp = GREATEST(COALESCE(VALUES(event_timestamp), event_timestamp), \
                                COALESCE(event_timestamp, VALUES(event_timestamp))), \
     next_offset = GREATEST(COALESCE(next_offset, 0), VALUES(next_offset)), \
     `offset` = GREATEST(`offset`, VALUES(`offset`))";

impl ProgressRow {
    /// What writes the progress and commits, as one text: a round trip less for each batch.
    /// Nothing in it can end a literal: names are hexadecimal, all else is numbers.
    pub(crate) fn commit(rows: &[Self]) -> String {
        if rows.is_empty() {
            return "COMMIT".to_owned();
        }
        let values: Vec<_> = rows.iter().map(Self::literals).collect();
        format!(
            "INSERT INTO projection_progress \
             (topic, `partition`, `offset`, event_timestamp, event_id, next_offset) \
             VALUES {}{GREATEST_WINS}; COMMIT",
            values.join(",")
        )
    }

    fn literals(&self) -> String {
        let topic = text_literal(&self.topic);
        let moment = self.event_timestamp.map_or_else(
            || "NULL".to_owned(),
            |moment| moment.format("'%Y-%m-%d %H:%M:%S%.6f'").to_string(),
        );
        let event_id = self.event_id.as_deref().map_or_else(|| "NULL".to_owned(), text_literal);
        let next = self.next_offset.unwrap_or(self.offset + 1);
        format!("({topic},{},{},{moment},{event_id},{next})", self.partition, self.offset)
    }

    /// Returns the rows of all partitions of `topics`.
    ///
    /// # Errors
    /// As the server answers.
    pub(crate) async fn of(connection: &mut Connection, topics: &[&str]) -> QueryResult<Vec<Self>> {
        let rows = projection_progress::table.filter(projection_progress::topic.eq_any(topics));
        rows.load(connection).await
    }

    /// Says that all before `next` is dealt with, unless the row is another one by now.
    pub(crate) fn reach(partition: &Partition, offset: i64, next: i64) -> String {
        format!(
            "UPDATE projection_progress SET next_offset = GREATEST(COALESCE(next_offset, 0), {next}) \
             WHERE topic = {} AND `partition` = {} AND `offset` = {offset};",
            text_literal(&partition.topic),
            partition.partition
        )
    }

    /// Deletes the row: what it speaks of is a log that is no longer there.
    pub(crate) fn forget(&self) -> String {
        format!(
            "DELETE FROM projection_progress \
             WHERE topic = {} AND `partition` = {} AND `offset` = {};",
            text_literal(&self.topic),
            self.partition,
            self.offset
        )
    }

    /// Deletes all rows of `topics`, so that they are read from their beginning: also by a
    /// projector that runs, once it looks.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn forget_all(connection: &mut Connection, topics: &[String]) -> QueryResult<usize> {
        let rows = projection_progress::table.filter(projection_progress::topic.eq_any(topics));
        diesel::delete(rows).execute(connection).await
    }

    pub(crate) fn is_of(&self, partition: &Partition) -> bool {
        self.partition == partition.partition && *self.topic == *partition.topic
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn whatever_a_topic_is_called_stays_inside_its_literal() {
        let moment = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_micro_opt(3, 4, 5, 678);
        let row = |topic: &str, event_timestamp, event_id: Option<&str>| ProgressRow {
            topic: topic.to_owned(),
            partition: 1,
            offset: 23,
            event_timestamp,
            event_id: event_id.map(str::to_owned),
            next_offset: None,
        };
        let text = ProgressRow::commit(&[
            row("a'\\é", moment.unwrap().into(), Some("'")),
            row("b", None, None),
        ]);
        let values = "VALUES (_utf8mb4 X'61275cc3a9',1,23,'2026-01-02 03:04:05.000678',\
                      _utf8mb4 X'27',24),(_utf8mb4 X'62',1,23,NULL,NULL,24) \
                      ON DUPLICATE KEY UPDATE ";
        assert!(text.contains(values), "{text}");
        assert!(text.ends_with("; COMMIT"), "{text}");
    }
}

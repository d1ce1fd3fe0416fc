use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use super::guarded::last_wins;
use super::text_literal;
use crate::schema::projection_progress;

/// How far one partition is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = projection_progress, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct ProgressRow {
    pub topic: String,
    pub partition: i32,
    /// Of the last record applied.
    pub offset: i64,
    /// The moment of that record's event; `None` if it was none.
    pub event_timestamp: Option<NaiveDateTime>,
}

static LAST_WINS: LazyLock<String> =
    LazyLock::new(|| last_wins(&projection_progress::all_columns, &["topic", "partition"]));

impl ProgressRow {
    /// What writes the progress and commits, as one text: a round trip less for each batch.
    /// Nothing in it can end a literal: names are hexadecimal, all else is numbers.
    pub(crate) fn commit(rows: &[Self]) -> String {
        if rows.is_empty() {
            return "COMMIT".to_owned();
        }
        let values: Vec<_> = rows.iter().map(Self::literals).collect();
        format!(
            "INSERT INTO projection_progress (topic, `partition`, `offset`, event_timestamp) \
             VALUES {}{}; COMMIT",
            values.join(","),
            *LAST_WINS
        )
    }

    fn literals(&self) -> String {
        let topic = text_literal(&self.topic);
        let moment = self.event_timestamp.map_or_else(
            || "NULL".to_owned(),
            |moment| moment.format("'%Y-%m-%d %H:%M:%S%.6f'").to_string(),
        );
        format!("({topic},{},{},{moment})", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn whatever_a_topic_is_called_stays_inside_its_literal() {
        let moment = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_micro_opt(3, 4, 5, 678);
        let row = |topic: &str, event_timestamp| ProgressRow {
            topic: topic.to_owned(),
            partition: 1,
            offset: 23,
            event_timestamp,
        };
        let text = ProgressRow::commit(&[row("a'\\é", moment.unwrap().into()), row("b", None)]);
        let values = "VALUES (_utf8mb4 X'61275cc3a9',1,23,'2026-01-02 03:04:05.000678'),\
                      (_utf8mb4 X'62',1,23,NULL) ON DUPLICATE KEY UPDATE ";
        assert!(text.contains(values), "{text}");
        assert!(text.ends_with("; COMMIT"), "{text}");
    }
}

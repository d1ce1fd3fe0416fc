use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use super::guarded::{Guarded, last_wins};
use crate::database::Connection;
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
    /// Also locks the rows: two projectors that both believe to own a partition, as
    /// one does for a moment after it lost it, apply its records one after the other.
    pub(crate) async fn record(connection: &mut Connection, rows: &[Self]) -> QueryResult<()> {
        if let [row] = rows {
            let insert = diesel::insert_into(projection_progress::table).values(row);
            Guarded::new(insert, &LAST_WINS).execute(connection).await?;
        } else if !rows.is_empty() {
            let insert = diesel::insert_into(projection_progress::table).values(rows);
            Guarded::new(insert, &LAST_WINS).execute(connection).await?;
        }
        Ok(())
    }
}

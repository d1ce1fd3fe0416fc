use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use super::guarded::{Insert, ROWS_A_STATEMENT, Upsert, last_wins};
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

impl Upsert for ProgressRow {
    fn on_duplicate() -> &'static str {
        &LAST_WINS
    }

    fn insert_one(&self) -> impl Insert {
        diesel::insert_into(projection_progress::table).values(self)
    }

    fn insert_block(rows: &[Self; ROWS_A_STATEMENT]) -> impl Insert {
        diesel::insert_into(projection_progress::table).values(rows)
    }

    fn insert_rest(rows: &[Self]) -> impl Insert {
        diesel::insert_into(projection_progress::table).values(rows)
    }
}

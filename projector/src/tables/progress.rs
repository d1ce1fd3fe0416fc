use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use super::guarded::{Insert, Upsert, last_wins};
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

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(projection_progress::table).values(rows)
    }
}

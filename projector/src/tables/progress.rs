use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use crate::schema::projection_progress;

/// How far one partition is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = projection_progress, check_for_backend(diesel::mysql::Mysql))]
pub struct ProgressRow {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub event_timestamp: Option<NaiveDateTime>,
}

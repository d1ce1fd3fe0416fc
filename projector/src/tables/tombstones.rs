use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;

use crate::schema::tombstones;

/// What an event without a document said last about an entity; outlives the row.
#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = tombstones, check_for_backend(diesel::mysql::Mysql))]
pub struct TombstoneRow {
    pub domain: String,
    pub entity_id: String,
    pub version: i64,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub content_version: Option<i64>,
    pub content_timestamp: Option<NaiveDateTime>,
}

//! One file a table: its row, the row of a document, and the statement that
//! writes many rows at once, each only where it is newer.

mod guarded;
mod order_items;
mod orders;
mod posts;
mod product_variants;
mod products;
mod progress;
mod suppliers;
mod tombstones;
mod users;

use std::future::Future;

use chrono::NaiveDateTime;
use diesel::QueryResult;
use serde::Serialize;
use serde_json::Value;

use crate::database::Connection;

pub use order_items::OrderItemRow;
pub use orders::OrderRow;
pub use posts::PostRow;
pub use product_variants::ProductVariantRow;
pub use products::ProductRow;
pub use progress::ProgressRow;
pub use suppliers::SupplierRow;
pub use tombstones::{Statement, TombstoneRow};
pub use users::UserRow;

/// Which event a row shows: its last three columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stamp {
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    /// 0 for the older producer's events.
    pub version: i64,
}

/// The order of an entity's events: by version; among the older producer's, which
/// all have version 0, by their moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    version: i64,
    moment: NaiveDateTime,
}

impl Rank {
    pub fn new(version: i64, moment: NaiveDateTime) -> Self {
        Self { version, moment }
    }

    /// Strictly: an event does not outrank itself.
    pub fn outranks(self, other: Self) -> bool {
        self.version > other.version
            || (self.version == 0 && other.version == 0 && self.moment > other.moment)
    }
}

/// A row that shows a whole document: the top of an aggregate.
pub(crate) trait Root: Sized + Clone + Send + Sync {
    fn id(&self) -> &str;
    fn rank(&self) -> Rank;
    fn event_id(&self) -> &str;

    /// Writes each row that is new or outranks the one that is there. Returns MySQL's
    /// count: 1 for a row inserted, 2 for a row updated, 0 for a row left as it was.
    fn upsert(
        connection: &mut Connection,
        rows: &[Self],
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// Which event each of the rows `ids` shows now; nothing for one that is not there.
    fn shown(
        connection: &mut Connection,
        ids: &[&str],
    ) -> impl Future<Output = QueryResult<Vec<(String, String)>>> + Send;
}

/// A row that belongs to a [`Root`] and is replaced with it.
pub(crate) trait Child: Sized + Clone + Send + Sync {
    /// The id of the root.
    fn parent(&self) -> &str;

    /// Makes `rows` all the rows that `parents` have. A row whose key stays keeps its `id`.
    fn replace(
        connection: &mut Connection,
        parents: &[&str],
        rows: &[Self],
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

/// As it is written in JSON, which is also how MySQL holds it.
fn text(unit: &impl Serialize) -> String {
    match serde_json::to_value(unit) {
        Ok(Value::String(text)) => text,
        // Unreachable for the contract's enumerations, which are all plain words.
        other => format!("{other:?}"),
    }
}

fn json(value: &impl Serialize) -> Value {
    // The contract's types are plain structs with text keys: those always are JSON.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

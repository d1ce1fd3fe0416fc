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

use std::collections::HashSet;
use std::future::Future;

use chrono::NaiveDateTime;
use diesel::QueryResult;
use serde::Serialize;
use serde_json::Value;

use crate::database::Connection;
use guarded::IDS_A_STATEMENT;
pub(crate) use guarded::Upsert;

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

/// A row that shows a whole document: the top of an aggregate. It is written where it
/// is new or outranks the one that is there.
pub(crate) trait Root: Upsert + Clone {
    fn id(&self) -> &str;
    fn rank(&self) -> Rank;
    fn event_id(&self) -> &str;

    /// As [`Self::shown`], of as many ids as one statement takes.
    fn shown_of(
        connection: &mut Connection,
        ids: &[&str],
    ) -> impl Future<Output = QueryResult<Vec<(String, String)>>> + Send;

    /// Which event each of the rows `ids` shows now; nothing for one that is not there.
    fn shown(
        connection: &mut Connection,
        ids: &[&str],
    ) -> impl Future<Output = QueryResult<Vec<(String, String)>>> + Send {
        async move {
            let mut shown = Vec::with_capacity(ids.len());
            for ids in ids.chunks(IDS_A_STATEMENT) {
                shown.extend(Self::shown_of(connection, ids).await?);
            }
            Ok(shown)
        }
    }
}

/// A row that belongs to a [`Root`] and is replaced with it. The last writer wins: it
/// follows its parent's guard.
pub(crate) trait Child: Upsert + Clone {
    /// The id of the root.
    fn parent(&self) -> &str;

    /// What tells it from its siblings.
    fn key(&self) -> &str;

    /// `id`, parent and key of the rows that are there, of as many parents as one
    /// statement takes.
    fn present_of(
        connection: &mut Connection,
        parents: &[&str],
    ) -> impl Future<Output = QueryResult<Vec<(i64, String, String)>>> + Send;

    /// Of as many as one statement takes.
    fn delete(
        connection: &mut Connection,
        ids: &[i64],
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// Makes `rows` all the rows that `parents` have. A row whose key stays keeps its `id`.
    fn replace(
        connection: &mut Connection,
        parents: &[&str],
        rows: &[Self],
    ) -> impl Future<Output = QueryResult<()>> + Send {
        async move {
            let kept: HashSet<_> = rows.iter().map(|row| (row.parent(), row.key())).collect();
            let mut gone = Vec::new();
            for parents in parents.chunks(IDS_A_STATEMENT) {
                let present = Self::present_of(connection, parents).await?;
                let is_gone = |(_, parent, key): &(i64, String, String)| {
                    !kept.contains(&(parent.as_str(), key.as_str()))
                };
                gone.extend(present.into_iter().filter(is_gone).map(|(id, _, _)| id));
            }
            for ids in gone.chunks(IDS_A_STATEMENT) {
                Self::delete(connection, ids).await?;
            }
            Self::upsert(connection, rows).await?;
            Ok(())
        }
    }
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

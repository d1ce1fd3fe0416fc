//! One file a table: its row, the row of a document, and the statement that
//! writes many rows at once, each only where it is newer.

mod by_ids;
mod guarded;
mod losses;
mod order_items;
mod orders;
mod posts;
mod product_variants;
mod products;
mod progress;
mod suppliers;
mod tombstones;
mod users;

use std::collections::HashMap;
use std::future::Future;

use chrono::NaiveDateTime;
use diesel::sql_types::{BigInt, Datetime, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use shared::event::Domain;

use self::by_ids::{IDS_A_STATEMENT, by_ids};
use crate::database::Connection;
pub(crate) use guarded::Upsert;

pub use losses::LossRow;
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
    const DOMAIN: Domain;

    fn id(&self) -> &str;
    fn rank(&self) -> Rank;
    fn event_id(&self) -> &str;

    /// Which event each of the rows `ids` shows now; nothing for one that is not there.
    fn shown(
        connection: &mut Connection,
        ids: &[&str],
    ) -> impl Future<Output = QueryResult<Vec<Shown>>> + Send {
        Shown::of(connection, Self::DOMAIN, ids, "")
    }
}

/// Which event a row shows.
#[derive(QueryableByName)]
pub(crate) struct Shown {
    #[diesel(sql_type = Text)]
    pub(crate) id: String,
    #[diesel(sql_type = Text)]
    pub(crate) event_id: String,
    #[diesel(sql_type = Datetime)]
    pub(crate) event_timestamp: NaiveDateTime,
    #[diesel(sql_type = BigInt)]
    pub(crate) version: i64,
}

impl Shown {
    pub(crate) fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    /// As others have committed them by now; they are locked until the commit.
    pub(crate) async fn locked(
        connection: &mut Connection,
        domain: Domain,
        ids: &[&str],
    ) -> QueryResult<Vec<Self>> {
        Self::of(connection, domain, ids, " FOR UPDATE").await
    }

    async fn of(
        connection: &mut Connection,
        domain: Domain,
        ids: &[&str],
        lock: &'static str,
    ) -> QueryResult<Vec<Self>> {
        let (table, key) = (domain.collection(), domain.id_key());
        let select = format!(
            "SELECT {key} AS id, event_id, event_timestamp, version \
             FROM {table} FORCE INDEX (PRIMARY) WHERE {key} IN"
        );
        let mut shown = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let found: Vec<Self> = by_ids(&select, ids, lock).load(connection).await?;
            shown.extend(found);
        }
        Ok(shown)
    }
}

/// Gives rows the rank of a placeholder: any document outranks them.
pub(crate) async fn lower_rank(
    connection: &mut Connection,
    domain: Domain,
    ids: &[&str],
) -> QueryResult<()> {
    let (table, key) = (domain.collection(), domain.id_key());
    let lower = format!(
        "UPDATE {table} SET version = 0, event_timestamp = '1970-01-01 00:00:00' WHERE {key} IN"
    );
    for ids in ids.chunks(IDS_A_STATEMENT) {
        by_ids(&lower, ids, "").execute(connection).await?;
    }
    Ok(())
}

/// A [`Child`] that is there.
#[derive(QueryableByName)]
pub(crate) struct Present {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    parent: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// A row that belongs to a [`Root`] and is replaced with it. The last writer wins: it
/// follows its parent's guard.
pub(crate) trait Child: Sized + Send + Sync {
    type Numbered: Upsert;

    /// Selects `id`, `parent` and `name`, which is the key, by parents.
    const PRESENT: &str;

    /// The id of the root.
    fn parent(&self) -> &str;

    /// What tells it from its siblings.
    fn key(&self) -> &str;

    fn numbered(self, id: i64) -> Self::Numbered;

    /// Of as many as one statement takes.
    fn delete(
        connection: &mut Connection,
        ids: &[i64],
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// Makes `rows` all the rows that `parents` have. A row whose key stays keeps its `id`.
    fn replace(
        connection: &mut Connection,
        parents: &[&str],
        rows: Vec<Self>,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        async move {
            let mut present = HashMap::new();
            for parents in parents.chunks(IDS_A_STATEMENT) {
                let found: Vec<Present> =
                    by_ids(Self::PRESENT, parents, "").load(connection).await?;
                present.extend(found.into_iter().map(|it| ((it.parent, it.name), it.id)));
            }
            let numbered = rows.into_iter().map(|row| {
                let id = present.remove(&(row.parent().to_owned(), row.key().to_owned()));
                row.numbered(id.unwrap_or_default())
            });
            let numbered: Vec<_> = numbered.collect();
            let gone: Vec<_> = present.into_values().collect();
            for ids in gone.chunks(IDS_A_STATEMENT) {
                Self::delete(connection, ids).await?;
            }
            Self::Numbered::upsert(connection, &numbered).await?;
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

/// A literal that no text can break out of.
fn text_literal(text: &str) -> String {
    let hex = text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("_utf8mb4 X'{hex}'")
}

fn json(value: &impl Serialize) -> Value {
    // The contract's types are plain structs with text keys: those always are JSON.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

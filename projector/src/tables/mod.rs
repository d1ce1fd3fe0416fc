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

use chrono::NaiveDateTime;
use serde::Serialize;
use serde_json::Value;

pub use order_items::OrderItemRow;
pub use orders::OrderRow;
pub use posts::PostRow;
pub use product_variants::ProductVariantRow;
pub use products::ProductRow;
pub use progress::ProgressRow;
pub use suppliers::SupplierRow;
pub use tombstones::TombstoneRow;
pub use users::UserRow;

/// Which event a row shows: its last three columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stamp {
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    /// 0 for the older producer's events.
    pub version: i64,
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

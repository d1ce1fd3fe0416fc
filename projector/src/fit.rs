//! Whether the rows of a record fit the tables as the projector made them.
//!
//! MySQL's word alone is no proof against a record: a table that somebody changed refuses
//! good records with the same errors. So a record counts as poison only if MySQL refuses
//! it and it does not fit what `schema.rs` says.

use serde::Serialize;
use serde_json::Value;

use crate::expected::{Column, Kind, Table, table};
use crate::plan::Writes;

/// MySQL takes JSON that is nested 100 deep, MariaDB 32.
const JSON_DEPTH: usize = 31;

/// The longest key in a JSON object, in bytes.
const JSON_KEY_BYTES: usize = 65_535;

/// The first value that does not fit its column: table, column and why. It does not quote
/// the value.
pub(crate) fn misfit(writes: &Writes) -> Option<String> {
    of("users", &writes.users)
        .or_else(|| of("suppliers", &writes.suppliers))
        .or_else(|| of("products", &writes.products))
        .or_else(|| of("product_variants", &writes.product_variants))
        .or_else(|| of("orders", &writes.orders))
        .or_else(|| of("order_items", &writes.order_items))
        .or_else(|| of("posts", &writes.posts))
        .or_else(|| of("tombstones", &writes.tombstones))
}

fn of<R: Serialize>(name: &str, rows: &[R]) -> Option<String> {
    let table = table(name)?;
    rows.iter().find_map(|row| row_misfit(table, row))
}

fn row_misfit(table: &Table, row: &impl Serialize) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::to_value(row) else {
        return None;
    };
    fields.iter().find_map(|(name, value)| {
        let reason = value_misfit(table.column(name)?, value)?;
        Some(format!("{}.{name}: {reason}", table.name))
    })
}

fn value_misfit(column: &Column, value: &Value) -> Option<String> {
    match (column.kind, value) {
        (_, Value::Null) => {
            (!column.is_nullable && column.kind != Kind::Json).then(|| "NULL".to_owned())
        }
        (Kind::Varchar(limit), Value::String(text)) => {
            let characters = text.chars().count() as u64;
            (characters > limit).then(|| format!("{characters} characters, more than {limit}"))
        }
        (Kind::Text(limit), Value::String(text)) => {
            let bytes = text.len() as u64;
            (bytes > limit).then(|| format!("{bytes} bytes, more than {limit}"))
        }
        // As chrono writes it: outside of these years with a sign, or with zeros before.
        (Kind::Datetime, Value::String(moment)) => {
            let is_usual = moment.starts_with(|first: char| ('1'..='9').contains(&first));
            (!is_usual).then(|| "outside of the years 1000 to 9999".to_owned())
        }
        (Kind::Json, value) => json_misfit(value, 1),
        _ => None,
    }
}

fn json_misfit(value: &Value, depth: usize) -> Option<String> {
    if depth > JSON_DEPTH {
        return Some(format!("nested more than {JSON_DEPTH} deep"));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| json_misfit(item, depth + 1)),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let is_long = key.len() > JSON_KEY_BYTES;
            let reason = is_long.then(|| format!("a key of more than {JSON_KEY_BYTES} bytes"));
            reason.or_else(|| json_misfit(value, depth + 1))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn misfit_of(name: &str, row: Value) -> Option<String> {
        row_misfit(table(name).unwrap(), &row)
    }

    #[test]
    fn what_is_longer_than_its_column_is_named() {
        let name = |characters| json!({"display_name": "ü".repeat(characters)});
        assert_eq!(misfit_of("users", name(255)), None);
        let reason = misfit_of("users", name(256)).unwrap();
        assert_eq!(reason, "users.display_name: 256 characters, more than 255");
        let text = |bytes| json!({"text_content": "x".repeat(bytes)});
        assert_eq!(misfit_of("posts", text(65_535)), None);
        assert!(misfit_of("posts", text(65_536)).is_some());
        assert!(misfit_of("users", json!({"email": null})).is_some());
        assert_eq!(misfit_of("users", json!({"phone": null})), None);
        let moment = |text: &str| misfit_of("users", json!({"created_at": text}));
        assert_eq!(moment("2026-01-02T03:04:05.000678"), None);
        assert!(moment("+12026-01-02T03:04:05").is_some());
    }

    #[test]
    fn json_that_no_server_takes_is_named() {
        let nested = |depth| (1..depth).fold(json!(1), |inner, _| json!([inner]));
        let media = |value: Value| misfit_of("posts", json!({"media_json": value}));
        assert_eq!(media(nested(31)), None);
        assert!(media(nested(32)).is_some());
        assert!(media(json!({"k".repeat(65_536): 1})).is_some());
        assert_eq!(media(Value::Null), None);
    }
}

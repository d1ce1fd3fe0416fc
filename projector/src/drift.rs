//! Whether the tables are still those that the projector writes.
//!
//! Additions that do not concern it are fine: further tables, indexes, columns that are
//! nullable or have a default, wider columns. Anything by which MySQL would refuse a good
//! record, or would store something else than was written, is a drift.

use diesel::QueryResult;

use crate::database::Connection;
use crate::expected::{Column, FOREIGN_KEYS, Kind, TABLES, Table, UNIQUE};
use crate::found::{Found, FoundColumn};

/// So many differences are named; the rest is counted.
const NAMED: usize = 3;

const TEXTS: [&str; 5] = ["varchar", "tinytext", "text", "mediumtext", "longtext"];

/// MySQL's name of the collation and MariaDB's.
const BYTEWISE: [&str; 2] = ["utf8mb4_0900_bin", "utf8mb4_nopad_bin"];

/// What is wrong with the tables, in words that name table and column; `None` if they fit.
///
/// # Errors
/// Where the server does not answer.
pub async fn drift(connection: &mut Connection) -> QueryResult<Option<String>> {
    let found = Found::read(connection).await?;
    let differences: Vec<_> = TABLES.iter().flat_map(|table| differences(&found, table)).collect();
    if differences.is_empty() {
        return Ok(None);
    }
    let named = differences.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    Ok(Some(match differences.len().saturating_sub(NAMED) {
        0 => named,
        others => format!("{named}; and {others} more differences"),
    }))
}

fn differences(found: &Found, table: &Table) -> Vec<String> {
    let name = table.name;
    let (Some(engine), Some(columns)) = (found.engines.get(name), found.columns.get(name)) else {
        return vec![format!("{name}: the table is missing, or the account has no right to it")];
    };
    if engine.as_deref() != Some("InnoDB") {
        return vec![format!("{name}: not a table of InnoDB, so it has no transactions")];
    }
    let mut differences = Vec::new();
    for expected in &table.columns {
        let reason = match columns.iter().find(|column| column.name == expected.name) {
            None => Some("the column is missing".to_owned()),
            Some(found) => column_difference(table, expected, found),
        };
        differences.extend(reason.map(|reason| format!("{name}.{}: {reason}", expected.name)));
    }
    let foreign = columns.iter().filter(|found| table.column(&found.name).is_none());
    for found in foreign.filter(|found| !found.is_nullable && !found.fills_itself) {
        differences.push(format!(
            "{name}.{}: NOT NULL without a default, which the projector does not write",
            found.name
        ));
    }
    differences.extend(unique_differences(found, table, columns));
    differences.extend(foreign_key_differences(found, table));
    differences
}

fn column_difference(table: &Table, expected: &Column, found: &FoundColumn) -> Option<String> {
    let is_text = matches!(expected.kind, Kind::Varchar(_) | Kind::Text(_));
    let character_set = found.character_set.as_deref().unwrap_or_default();
    let collation = found.collation.as_deref().unwrap_or_default();
    if found.is_generated {
        return Some("generated, so it cannot be written".to_owned());
    }
    if !holds(expected.kind, found) {
        return Some(format!("{}, not {}", found.declared, expected.kind));
    }
    if is_text && character_set != "utf8mb4" {
        return Some(format!("character set {character_set}, not utf8mb4"));
    }
    if is_text && table.is_identity(expected.name) && !BYTEWISE.contains(&collation) {
        return Some(format!("collation {collation}, which does not compare byte for byte"));
    }
    if expected.is_nullable && !found.is_nullable {
        return Some("NOT NULL, but the projector writes NULL".to_owned());
    }
    if table.key == ["id"] && expected.name == "id" && !found.is_numbered {
        return Some("no AUTO_INCREMENT".to_owned());
    }
    None
}

/// Whether the column takes every value of `kind`, unchanged.
fn holds(kind: Kind, found: &FoundColumn) -> bool {
    let is_one_of = |types: &[&str]| types.contains(&found.data_type.as_str());
    let is_signed = !found.declared.contains("unsigned");
    let at_least = |have: Option<i64>, limit: u64| {
        have.and_then(|have| u64::try_from(have).ok()).is_some_and(|have| have >= limit)
    };
    match kind {
        Kind::Varchar(limit) => is_one_of(&TEXTS) && at_least(found.characters, limit),
        Kind::Text(limit) => is_one_of(&TEXTS) && at_least(found.bytes, limit),
        // MariaDB's JSON is a text with a check.
        Kind::Json => is_one_of(&["json", "longtext"]),
        Kind::Bigint => is_one_of(&["bigint"]) && is_signed,
        Kind::Integer => is_one_of(&["int", "bigint"]) && is_signed,
        // `double(10,2)` rounds.
        Kind::Double => is_one_of(&["double"]) && found.declared == "double",
        Kind::Datetime => is_one_of(&["datetime"]) && found.fraction == Some(6),
    }
}

/// A foreign unique index makes an upsert hit the row of another entity.
fn unique_differences(found: &Found, table: &Table, columns: &[FoundColumn]) -> Vec<String> {
    let name = table.name;
    let beside = UNIQUE.iter().filter(|(table, _)| *table == name);
    let ours: Vec<_> = std::iter::once(table.key.join(", "))
        .chain(beside.map(|(_, columns)| columns.join(", ")))
        .collect();
    let of_table: Vec<_> = found.unique.iter().filter(|it| it.table_name == name).collect();
    let missing = ours.iter().filter(|key| of_table.iter().all(|found| found.columns != **key));
    let missing = missing.map(|key| format!("{name}: no unique index on ({key})"));
    // A number that the server gives out clashes with nothing.
    let is_numbered =
        |key: &str| columns.iter().any(|column| column.is_numbered && key == column.name);
    let foreign = of_table
        .iter()
        .filter(|found| !ours.contains(&found.columns) && !is_numbered(&found.columns));
    let foreign = foreign.map(|found| {
        let (index, columns) = (&found.index_name, &found.columns);
        format!("{name}: the unique index {index} ({columns}) is not the projector's")
    });
    missing.chain(foreign).collect()
}

fn foreign_key_differences(found: &Found, table: &Table) -> Vec<String> {
    let name = table.name;
    let ours: Vec<_> = FOREIGN_KEYS.iter().filter(|key| key.0 == name).collect();
    let of_table: Vec<_> = found.foreign_keys.iter().filter(|it| it.table_name == name).collect();
    let missing = ours.iter().filter(|(_, refers_to, on_delete)| {
        of_table.iter().all(|it| it.refers_to != *refers_to || it.on_delete != *on_delete)
    });
    let missing = missing.map(|(_, refers_to, on_delete)| {
        format!("{name}: no foreign key to {refers_to} with ON DELETE {on_delete}")
    });
    let foreign = of_table.iter().filter(|it| ours.iter().all(|key| key.1 != it.refers_to));
    let foreign = foreign.map(|it| {
        format!("{name}: the foreign key {} to {} is not the projector's", it.name, it.refers_to)
    });
    missing.chain(foreign).collect()
}

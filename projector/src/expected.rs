//! What the projector expects of its tables, as `schema.rs` says it.
//!
//! `schema.rs` is read as text, because Diesel's types do not give away the lengths. So
//! there is one description of the tables, and a test compares it with the migrations.

use std::sync::LazyLock;

/// A table that the projector writes.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub key: Vec<&'static str>,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub is_nullable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Characters.
    Varchar(u64),
    /// Bytes.
    Text(u64),
    Json,
    Bigint,
    Integer,
    Double,
    Datetime,
}

/// Unique indexes beside the primary keys. The upserts rest on them.
pub const UNIQUE: [(&str, &[&str]); 3] = [
    ("order_items", &["order_id", "item_id"]),
    ("orders", &["order_number"]),
    ("product_variants", &["product_id", "variant_key"]),
];

/// Table, the table that it refers to, and what a deletion there does here.
pub const FOREIGN_KEYS: [(&str, &str, &str); 3] = [
    ("order_items", "orders", "CASCADE"),
    ("product_variants", "products", "CASCADE"),
    ("products", "suppliers", "SET NULL"),
];

pub static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| read(include_str!("schema.rs")));

/// The table of that name, if the projector writes it.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether two values of the column that differ in a single byte must be two values
    /// to MySQL as well.
    pub fn is_identity(&self, column: &str) -> bool {
        let unique = UNIQUE.iter().filter(|(table, _)| *table == self.name);
        self.key.contains(&column) || unique.into_iter().any(|(_, names)| names.contains(&column))
    }
}

fn read(schema: &'static str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut max_length = 0;
    for line in schema.lines().map(str::trim) {
        if let Some((name, key)) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
            let key = key.split(", ").collect();
            tables.push(Table { name, key, columns: Vec::new() });
        } else if let Some(length) = line.strip_prefix("#[max_length = ") {
            max_length = length.trim_end_matches(']').parse().unwrap_or_default();
        } else if let Some((name, sql_type)) = line.trim_end_matches(',').split_once(" -> ")
            && let Some(table) = tables.last_mut()
        {
            let inner =
                sql_type.strip_prefix("Nullable<").and_then(|inner| inner.strip_suffix('>'));
            if let Some(kind) = kind(inner.unwrap_or(sql_type), std::mem::take(&mut max_length)) {
                table.columns.push(Column { name, kind, is_nullable: inner.is_some() });
            }
        }
    }
    tables
}

fn kind(sql_type: &str, max_length: u64) -> Option<Kind> {
    Some(match sql_type {
        "Varchar" => Kind::Varchar(max_length),
        "Text" => Kind::Text(65_535),
        "Mediumtext" => Kind::Text(16_777_215),
        "Json" => Kind::Json,
        "Bigint" => Kind::Bigint,
        "Integer" => Kind::Integer,
        "Double" => Kind::Double,
        "Datetime" => Kind::Datetime,
        _ => return None,
    })
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Varchar(characters) => write!(f, "varchar({characters})"),
            Self::Text(65_535) => f.write_str("text"),
            Self::Text(_) => f.write_str("mediumtext"),
            Self::Json => f.write_str("json"),
            Self::Bigint => f.write_str("bigint"),
            Self::Integer => f.write_str("int"),
            Self::Double => f.write_str("double"),
            Self::Datetime => f.write_str("datetime(6)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_schema_is_understood() {
        let columns: usize = TABLES.iter().map(|table| table.columns.len()).sum();
        let lines = include_str!("schema.rs").lines();
        let arrows =
            lines.filter(|line| line.contains(" -> ") && !line.starts_with("diesel::")).count();
        assert_eq!(columns, arrows, "a type that `kind` does not know");
        let tables = include_str!("schema.rs").matches("diesel::table!").count();
        assert_eq!(TABLES.len(), tables);
        let users = table("users").unwrap();
        assert_eq!(users.key, ["user_id"]);
        assert_eq!(users.column("display_name").unwrap().kind, Kind::Varchar(255));
        assert!(users.column("bio").unwrap().is_nullable);
        assert!(users.is_identity("user_id") && !users.is_identity("email"));
        assert_eq!(table("projection_progress").unwrap().key, ["topic", "partition"]);
    }
}

//! One entity on both sides: pure.

use serde::Serialize;
use serde_json::{Value, json};

use super::projected::{Projected, Source};
use super::shape::{Shape, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A document without its row.
    Missing,
    /// A row without its document.
    Extra,
    /// The row shows an older version of the document.
    Stale,
    /// Not older, yet not equal.
    Different,
    /// The document is not in the contract's shape.
    Unreadable,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub table: &'static str,
    pub id: String,
    /// Which of the entity's child rows: a variant's key, an item's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldDifference>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldDifference {
    pub field: &'static str,
    pub document: Value,
    pub row: Value,
}

/// Every way in which the row and its children differ from the document. The
/// children of a row that is missing or extra are not listed one by one.
pub fn compare(
    shape: &Shape,
    source: Option<&Source>,
    actual: Option<&Projected>,
) -> Vec<Difference> {
    let whole = |id: &str, kind, fields| {
        vec![Difference { table: shape.table.name, id: id.to_owned(), child: None, kind, fields }]
    };
    match (source, actual) {
        (None | Some(Source::Gone { .. }), None) => Vec::new(),
        (None | Some(Source::Gone { .. }), Some(row)) => whole(&row.id, Kind::Extra, Vec::new()),
        (Some(Source::Unreadable { id, reason }), _) => {
            let field =
                FieldDifference { field: "document", document: json!(reason), row: Value::Null };
            whole(id, Kind::Unreadable, vec![field])
        }
        (Some(Source::Present(document)), None) => whole(&document.id, Kind::Missing, Vec::new()),
        (Some(Source::Present(document)), Some(row)) => both(shape, document, row),
    }
}

fn both(shape: &Shape, document: &Projected, row: &Projected) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut fields = fields(&shape.table, &document.row, &row.row);
    if document.version != row.version {
        fields.push(FieldDifference {
            field: "version",
            document: json!(document.version),
            row: json!(row.version),
        });
    }
    if !fields.is_empty() {
        let is_older = row.version < document.version;
        differences.push(Difference {
            table: shape.table.name,
            id: document.id.clone(),
            child: None,
            kind: if is_older { Kind::Stale } else { Kind::Different },
            fields,
        });
    }
    if let Some(children) = &shape.children {
        differences.extend(child_differences(&children.table, document, row));
    }
    differences
}

fn child_differences(table: &Table, document: &Projected, row: &Projected) -> Vec<Difference> {
    let difference = |key: &str, kind, fields| Difference {
        table: table.name,
        id: document.id.clone(),
        child: Some(key.to_owned()),
        kind,
        fields,
    };
    let mut differences = Vec::new();
    for (key, expected) in &document.children {
        match row.children.get(key) {
            None => differences.push(difference(key, Kind::Missing, Vec::new())),
            Some(actual) => {
                let fields = fields(table, expected, actual);
                if !fields.is_empty() {
                    differences.push(difference(key, Kind::Different, fields));
                }
            }
        }
    }
    let extra = row.children.keys().filter(|key| !document.children.contains_key(*key));
    differences.extend(extra.map(|key| difference(key, Kind::Extra, Vec::new())));
    differences
}

fn fields(table: &Table, document: &[Value], row: &[Value]) -> Vec<FieldDifference> {
    let pairs = table.columns.iter().zip(document.iter().zip(row));
    pairs
        .filter(|(_, (document, row))| !same(document, row))
        .map(|((column, _), (document, row))| FieldDifference {
            field: column,
            document: document.clone(),
            row: row.clone(),
        })
        .collect()
}

/// Equality by value: 1 and 1.0 are the same number, whichever server wrote it.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}

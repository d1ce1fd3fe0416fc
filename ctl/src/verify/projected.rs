//! A document as rows: what MySQL should hold, or does.

use std::collections::BTreeMap;

use bson::RawDocument;
use serde_json::Value;
use shared::document::{Document, Order, Post, Product, Supplier, User};
use shared::event::Domain;

use super::shape::{Children, Column, Shape};

/// One entity's row and the rows that belong to it; values in the order of the
/// table's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    pub id: String,
    pub version: i64,
    pub row: Vec<Value>,
    pub children: BTreeMap<String, Vec<Value>>,
    /// Written only to satisfy a foreign key, before the entity's own event:
    /// true of rows alone.
    pub is_placeholder: bool,
}

/// A document of MongoDB, seen by the verifier.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Its rows must be these.
    Present(Projected),
    /// Deleted for good: it must have no row.
    Gone { id: String },
    /// Not in the contract's shape; the reason is for people.
    Unreadable { id: String, reason: String },
}

impl Source {
    pub fn id(&self) -> &str {
        match self {
            Self::Present(projected) => &projected.id,
            Self::Gone { id } | Self::Unreadable { id, .. } => id,
        }
    }

    /// What `raw`, a document with the id `id`, must look like in MySQL.
    pub fn read(shape: &Shape, id: String, raw: &RawDocument) -> Self {
        let read = match shape.domain {
            Domain::User => decode::<User>(raw),
            Domain::Supplier => decode::<Supplier>(raw),
            Domain::Product => decode::<Product>(raw),
            Domain::Order => decode::<Order>(raw),
            Domain::Post => decode::<Post>(raw),
        };
        match read {
            Err(reason) => Self::Unreadable { id, reason },
            // Users and posts are deleted softly: they keep their row.
            Ok(decoded) if decoded.is_deleted && shape.domain == Domain::Product => {
                Self::Gone { id }
            }
            Ok(decoded) => Self::Present(Projected {
                id,
                version: decoded.version,
                row: columns(shape.table.columns, &decoded.document),
                children: shape
                    .children
                    .iter()
                    .flat_map(|children| rows_of(children, &decoded.document))
                    .collect(),
                is_placeholder: false,
            }),
        }
    }
}

struct Decoded {
    version: i64,
    is_deleted: bool,
    document: Value,
}

fn decode<D: Document>(raw: &RawDocument) -> Result<Decoded, String> {
    let document: D =
        bson::deserialize_from_slice(raw.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Decoded {
        version: document.version(),
        is_deleted: document.is_deleted(),
        document: serde_json::to_value(document).map_err(|error| error.to_string())?,
    })
}

fn columns(columns: &[Column], document: &Value) -> Vec<Value> {
    columns
        .iter()
        .map(|(column, pointer)| normal(column, document.pointer(pointer).cloned()))
        .collect()
}

fn rows_of(children: &Children, document: &Value) -> Vec<(String, Vec<Value>)> {
    let row = |child: &Value| columns(children.table.columns, child);
    match document.pointer(children.source) {
        Some(Value::Object(map)) => {
            map.iter().map(|(key, child)| (key.clone(), row(child))).collect()
        }
        Some(Value::Array(list)) => {
            let key = |child: &Value| child[children.table.key].as_str().map(str::to_owned);
            list.iter().map(|child| (key(child).unwrap_or_default(), row(child))).collect()
        }
        _ => Vec::new(),
    }
}

/// The form in which both sides are compared: members that are null count as
/// absent, and an empty list of media as none (the contract's NULL).
pub fn normal(column: &str, value: Option<Value>) -> Value {
    match value {
        None => Value::Null,
        Some(Value::Array(list)) if column == "media_json" && list.is_empty() => Value::Null,
        Some(value) if column.ends_with("_json") => without_nulls(value),
        Some(value) => value,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(key, member)| (key, without_nulls(member)))
            .collect(),
        other => other,
    }
}

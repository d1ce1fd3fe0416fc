//! The rows, as MySQL holds them.

use std::collections::{BTreeMap, HashMap};

use futures::{Stream, TryStreamExt as _, stream};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Pool, Row, Value as Sql};
use serde_json::{Value, json};
use shared::Id;

use super::projected::{Projected, normal};
use super::range::Range;
use super::shape::{Children, Shape, Table};

type MysqlResult<T> = mysql_async::Result<T>;

/// Rows a round trip; what one page holds in memory.
const PAGE: usize = 500;

#[derive(Clone)]
pub struct Rows(Pool);

impl Rows {
    pub fn new(pool: Pool) -> Self {
        Self(pool)
    }

    /// All rows of a range, each with its children, in the order of their ids.
    pub fn all(
        &self,
        shape: &'static Shape,
        range: Range,
    ) -> impl Stream<Item = MysqlResult<Projected>> + use<> {
        let pool = self.0.clone();
        let first = range.after.map(|id| id.to_string()).unwrap_or_default();
        let through = range.through.map(|id| id.to_string());
        let pages = stream::try_unfold(Some(first), move |after| {
            let (pool, through) = (pool.clone(), through.clone());
            async move {
                let Some(after) = after else {
                    return MysqlResult::Ok(None);
                };
                let conn = &mut pool.get_conn().await?;
                let page = page_after(conn, shape, &after, through.as_deref()).await?;
                let next = page.last().filter(|_| page.len() == PAGE).map(|row| row.id.clone());
                Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten()
    }

    /// Those of `ids` that have a row.
    pub async fn by_ids(&self, shape: &Shape, ids: &[Id]) -> MysqlResult<Vec<Projected>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (select, key) = (select_parents(shape), shape.table.key);
        let query = format!("{select} WHERE {key} IN ({})", placeholders(ids.len()));
        let mut conn = self.0.get_conn().await?;
        let rows = conn.exec(query, positional(ids)).await?;
        with_children(&mut conn, shape, rows).await
    }

    /// Of those of `ids` whose deletion is remembered, its version: no older event of
    /// theirs is applied any more.
    pub async fn deleted(&self, shape: &Shape, ids: &[Id]) -> MysqlResult<HashMap<String, i64>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let query = format!(
            "SELECT entity_id, version FROM tombstones WHERE domain = '{}' AND entity_id IN ({})",
            shape.domain.topic(),
            placeholders(ids.len()),
        );
        let found: Vec<(String, i64)> =
            self.0.get_conn().await?.exec(query, positional(ids)).await?;
        Ok(found.into_iter().collect())
    }
}

async fn page_after(
    conn: &mut Conn,
    shape: &Shape,
    after: &str,
    through: Option<&str>,
) -> MysqlResult<Vec<Projected>> {
    let (select, key) = (select_parents(shape), shape.table.key);
    let page = format!("ORDER BY {key} LIMIT {PAGE}");
    let rows = match through {
        None => conn.exec(format!("{select} WHERE {key} > ? {page}"), (after,)).await?,
        Some(through) => {
            let query = format!("{select} WHERE {key} > ? AND {key} <= ? {page}");
            conn.exec(query, (after, through)).await?
        }
    };
    with_children(conn, shape, rows).await
}

/// The table's columns behind the three that every parent has.
fn select_parents(shape: &Shape) -> String {
    let Table { name, key, .. } = &shape.table;
    format!("SELECT {key}, version, event_id, {} FROM {name}", column_list(&shape.table))
}

fn column_list(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn positional(ids: &[Id]) -> Params {
    Params::Positional(ids.iter().map(|id| Sql::from(id.to_string())).collect())
}

fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

async fn with_children(
    conn: &mut Conn,
    shape: &Shape,
    rows: Vec<Row>,
) -> MysqlResult<Vec<Projected>> {
    let mut parents: Vec<Projected> =
        rows.into_iter().map(|row| parent(&shape.table, row)).collect();
    if let Some(children) = shape.children.as_ref().filter(|_| !parents.is_empty()) {
        let mut found = children_of(conn, shape, children, &parents).await?;
        for parent in &mut parents {
            parent.children = found.remove(&parent.id).unwrap_or_default();
        }
    }
    Ok(parents)
}

async fn children_of(
    conn: &mut Conn,
    shape: &Shape,
    children: &Children,
    parents: &[Projected],
) -> MysqlResult<BTreeMap<String, BTreeMap<String, Vec<Value>>>> {
    let (Table { name, key, .. }, parent) = (&children.table, shape.table.key);
    let query = format!(
        "SELECT {parent}, {key}, {} FROM {name} WHERE {parent} IN ({})",
        column_list(&children.table),
        placeholders(parents.len()),
    );
    let ids = Params::Positional(parents.iter().map(|parent| Sql::from(&parent.id)).collect());
    let mut found = BTreeMap::<_, BTreeMap<_, _>>::new();
    for row in conn.exec::<Row, _, _>(query, ids).await? {
        let mut values = row.unwrap().into_iter().map(json_value);
        let parent = text(values.next());
        let key = text(values.next());
        found.entry(parent).or_default().insert(key, columns(&children.table, values));
    }
    Ok(found)
}

fn parent(table: &Table, row: Row) -> Projected {
    let mut values = row.unwrap().into_iter().map(json_value);
    let id = text(values.next());
    let version = values.next().and_then(|version| version.as_i64()).unwrap_or(0);
    let event_id = text(values.next());
    Projected {
        id,
        version,
        row: columns(table, values),
        children: BTreeMap::new(),
        is_placeholder: version == 0 && event_id.is_empty(),
    }
}

fn columns(table: &Table, values: impl Iterator<Item = Value>) -> Vec<Value> {
    table.columns.iter().zip(values).map(|((name, _), value)| column(name, value)).collect()
}

fn column(name: &str, value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        // MariaDB keeps JSON as the text it was given, MySQL in a form of its own.
        Value::String(text) if name.ends_with("_json") => {
            normal(name, serde_json::from_str(&text).ok().or(Some(json!(text))))
        }
        other => other,
    }
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// A moment becomes text as in the documents, cut to the milliseconds that
/// MongoDB keeps.
fn json_value(value: Sql) -> Value {
    match value {
        Sql::NULL => Value::Null,
        Sql::Bytes(bytes) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
        Sql::Int(number) => json!(number),
        Sql::UInt(number) => json!(number),
        Sql::Float(number) => json!(number),
        Sql::Double(number) => json!(number),
        Sql::Date(year, month, day, hour, minute, second, micros) => {
            let millis = micros / 1_000;
            json!(format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
            ))
        }
        Sql::Time(..) => json!(value.as_sql(true)),
    }
}

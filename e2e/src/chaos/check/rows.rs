//! MySQL against the documents.

use std::collections::{BTreeMap, HashMap};

use shared::event::Domain;

use super::columns::{Column, children, columns};
use super::documents::{Source, Stored};
use super::{Breach, Environment, Findings, Key, Losses};
use crate::{Row, Rows};

const BREACHES: [Breach; 4] =
    [Breach::RowMissing, Breach::RowExtra, Breach::RowStale, Breach::RowDifferent];

const NO_EVENT: &str = "00000000-0000-0000-0000-000000000000";

/// # Errors
/// What MySQL says where it cannot be read.
pub async fn compare(
    source: &Source,
    losses: &Losses,
    environment: &Environment,
) -> Result<Findings, String> {
    let rows = Rows::new(environment);
    let events: HashMap<(&Key, i64), &str> = source
        .outbox
        .iter()
        .map(|event| ((&event.key, event.version), event.event_id.as_str()))
        .collect();
    let mut findings = Findings::default();
    for domain in Domain::ALL {
        let mut found = read(&rows, domain).await?;
        let mut children = read_children(&rows, domain).await?;
        let of_domain = source.documents.iter().filter(|((it, _), _)| *it == domain);
        for (key, stored) in of_domain.filter(|(_, stored)| stored.has_row) {
            findings.looked_at(&BREACHES, 1);
            let row = found.remove(&key.1);
            let event_id = events.get(&(key, stored.version)).copied();
            let event_id = event_id.filter(|_| !(losses.may_name_no_event() && is_refilled(&row)));
            let children = children.remove(&key.1).unwrap_or_default();
            if let Some((breach, what)) = judge(domain, stored, event_id, row, &children) {
                findings.found(breach, format!("{} {}: {what}", domain.topic(), key.1));
            }
        }
        for id in found.keys().chain(children.keys()) {
            findings.found(Breach::RowExtra, format!("{} {id}", domain.topic()));
        }
    }
    Ok(findings)
}

/// By `outboxctl replay`, from the document alone.
fn is_refilled(row: &Option<Row>) -> bool {
    let event_id = row.as_ref().and_then(|row| row.get("event_id"));
    event_id.is_some_and(|id| id == NO_EVENT)
}

type Children = BTreeMap<String, Vec<Option<String>>>;

fn judge(
    domain: Domain,
    stored: &Stored,
    event_id: Option<&str>,
    row: Option<Row>,
    children: &Children,
) -> Option<(Breach, String)> {
    let Some(row) = row else { return Some((Breach::RowMissing, "no row".to_owned())) };
    let version: i64 = row.get("version").and_then(|text| text.parse().ok()).unwrap_or_default();
    let different = |what: String| Some((Breach::RowDifferent, what));
    if version < stored.version {
        return Some((Breach::RowStale, format!("v{version}, document v{}", stored.version)));
    }
    if version > stored.version {
        return different(format!("v{version}, document v{}", stored.version));
    }
    if event_id.is_some() && row.get("event_id").map(String::as_str) != event_id {
        return different(format!("of event {:?}, not {event_id:?}", row.get("event_id")));
    }
    for ((column, value), (_, path)) in values(&row, columns(domain)).zip(columns(domain)) {
        let expected = &stored.row[column];
        if value != *expected {
            return different(format!("{path} is {value:?}, not {expected:?}"));
        }
    }
    (*children != stored.children)
        .then(|| (Breach::RowDifferent, format!("{children:?}, not {:?}", stored.children)))
}

async fn read(rows: &Rows, domain: Domain) -> Result<BTreeMap<String, Row>, String> {
    let (table, key) = (domain.collection(), domain.id_key());
    let columns = selected(columns(domain));
    let sql = format!("SELECT {key} AS id, version, event_id, {columns} FROM {table}");
    let found = rows.query(&sql).await?;
    Ok(found.into_iter().map(|mut row| (row.remove("id").unwrap_or_default(), row)).collect())
}

async fn read_children(rows: &Rows, domain: Domain) -> Result<BTreeMap<String, Children>, String> {
    let mut found = BTreeMap::<String, Children>::new();
    if let Some(children) = children(domain) {
        let (table, key, parent) = (children.table, children.key, domain.id_key());
        let columns = selected(children.columns);
        let sql = format!("SELECT {parent} AS parent, {key} AS child, {columns} FROM {table}");
        for row in rows.query(&sql).await? {
            let (parent, child) = (row["parent"].clone(), row["child"].clone());
            let values = values(&row, children.columns).map(|(_, value)| value).collect();
            found.entry(parent).or_default().insert(child, values);
        }
    }
    Ok(found)
}

/// Under names of our own, as an expression has none.
fn selected(columns: &[Column]) -> String {
    let named = columns.iter().enumerate().map(|(number, (column, _))| {
        // A time as milliseconds since 1970, whatever the session's time zone.
        let sql = if column.ends_with("_at") {
            format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) DIV 1000")
        } else {
            (*column).to_owned()
        };
        format!("{sql} AS c{number}")
    });
    named.collect::<Vec<_>>().join(", ")
}

fn values(row: &Row, columns: &[Column]) -> impl Iterator<Item = (usize, Option<String>)> {
    (0..columns.len()).map(|number| (number, row.get(&format!("c{number}")).cloned()))
}

//! Rows under their guard: which of them it let through, and what follows from that.

use std::collections::{HashMap, HashSet};

use diesel::QueryResult;

use crate::database::Connection;
use crate::tables::{Child, Root, TombstoneRow};

/// A statement failed, or the rows themselves clash.
pub(crate) enum Failed {
    Query(diesel::result::Error),
    /// A row is not there although it was just written. The INSERT hit another row's
    /// unique key, and the guard left that row unchanged: an order_number.
    Clash,
}

impl From<diesel::result::Error> for Failed {
    fn from(error: diesel::result::Error) -> Self {
        Self::Query(error)
    }
}

/// What became of a table's rows.
#[derive(Default)]
pub(crate) struct Written<'a> {
    /// Ids of those that their guard let through.
    pub(crate) passed: HashSet<&'a str>,
    pub(crate) stale: u64,
}

/// Writes rows under their guard and finds out which of them it let through.
pub(crate) async fn write<'a, R: Root>(
    connection: &mut Connection,
    rows: &'a [R],
) -> Result<Written<'a>, Failed> {
    if rows.is_empty() {
        return Ok(Written::default());
    }
    let affected = R::upsert(connection, rows).await?;
    if let ([row], 1..) = (rows, affected) {
        // Of a lone row MySQL's count tells, and saves a round trip.
        return Ok(Written { passed: HashSet::from([row.id()]), stale: 0 });
    }
    let ids: Vec<_> = rows.iter().map(Root::id).collect();
    let shown = R::shown(connection, &ids).await?;
    let shown: HashMap<_, _> = shown.into_iter().map(|it| (it.id.clone(), it)).collect();
    if shown.len() < rows.len() {
        return Err(Failed::Clash);
    }
    // The event's id alone does not tell: rows that were rebuilt from documents share one.
    let is_shown = |row: &&R| {
        (shown.get(row.id()))
            .is_some_and(|it| it.event_id == row.event_id() && it.rank() == row.rank())
    };
    let passed: HashSet<_> = match affected {
        0 => HashSet::new(),
        _ => rows.iter().filter(is_shown).map(Root::id).collect(),
    };
    let stale = (rows.len() - passed.len()) as u64;
    Ok(Written { passed, stale })
}

/// Documents that the guard refused only because a newer statement lies over the row,
/// although they are newer than the document that lies under it.
pub(crate) fn late_documents<R: Root>(
    tombstones: &[TombstoneRow],
    rows: &[R],
    passed: &HashSet<&str>,
) -> Vec<R> {
    let by_id: HashMap<_, _> =
        tombstones.iter().map(|tombstone| (tombstone.entity_id.as_str(), tombstone)).collect();
    let is_late = |row: &&R| {
        by_id.get(row.id()).is_some_and(|tombstone| {
            tombstone.rank().outranks(row.rank())
                && tombstone.content_rank().is_some_and(|content| row.rank().outranks(content))
        })
    };
    let refused = rows.iter().filter(|row| !passed.contains(row.id()));
    refused.filter(is_late).cloned().collect()
}

/// The children of the roots that were let through, all of them and no others.
pub(crate) async fn replace_children<C: Child + Clone>(
    connection: &mut Connection,
    passed: &HashSet<&str>,
    children: &[C],
) -> QueryResult<()> {
    if passed.is_empty() {
        return Ok(());
    }
    let mut parents: Vec<_> = passed.iter().copied().collect();
    parents.sort_unstable();
    let of_passed = children.iter().filter(|child| passed.contains(child.parent()));
    C::replace(connection, &parents, of_passed.cloned().collect()).await
}

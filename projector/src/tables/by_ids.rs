//! `… IN (…)` of many ids, by the index that is meant.
//!
//! A table that grows fast outruns its statistics: MySQL takes it for small and reads all
//! of it for a thousand ids. So the statements name their index, which Diesel's own
//! queries cannot.

use diesel::mysql::Mysql;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::Text;

/// Ids in one statement, of which each takes one of the protocol's 65,535 placeholders.
pub(super) const IDS_A_STATEMENT: usize = 5_000;

/// `before`, whose placeholders are for `fixed`, then `(?, …)` for `ids`, then `after`.
pub(super) fn by_ids<'a>(
    before: &str,
    fixed: &[&'a str],
    ids: &[&'a str],
    after: &str,
) -> BoxedSqlQuery<'a, Mysql, SqlQuery> {
    let places = vec!["?"; ids.len()].join(",");
    let mut query = diesel::sql_query(format!("{before} ({places}){after}")).into_boxed::<Mysql>();
    for value in fixed.iter().chain(ids) {
        query = query.bind::<Text, _>(*value);
    }
    query
}

//! `… IN (…)` of many ids, by the index that is meant.
//!
//! A table that grows fast outruns its statistics: MySQL takes it for small and reads all
//! of it for a thousand ids. So the statements name their index, which Diesel's own
//! queries cannot.

use diesel::QueryResult;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Text, Untyped};

/// Most ids in one statement. Each statement stays prepared, and the driver keeps what the
/// server says of each placeholder.
pub(super) const IDS_A_STATEMENT: usize = 256;

/// A query or command of this kind. It is filled up to the next power of two with its last
/// id, so that there are few of them to prepare.
pub(super) struct ByIds<'a> {
    before: &'a str,
    ids: &'a [&'a str],
    after: &'static str,
}

/// `before`, then `(?, …)` for `ids`, of which there is at least one, then `after`.
pub(super) fn by_ids<'a>(before: &'a str, ids: &'a [&'a str], after: &'static str) -> ByIds<'a> {
    ByIds { before, ids, after }
}

impl QueryFragment<Mysql> for ByIds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let places = self.ids.len().next_power_of_two();
        let last = self.ids.last().into_iter().cycle();
        out.push_sql(self.before);
        out.push_sql(" (");
        for (place, id) in self.ids.iter().chain(last).take(places).enumerate() {
            if place > 0 {
                out.push_sql(",");
            }
            out.push_bind_param::<Text, _>(id)?;
        }
        out.push_sql(")");
        out.push_sql(self.after);
        Ok(())
    }
}

/// Statements of different text have the same type.
impl QueryId for ByIds<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// Its columns are found by their names.
impl Query for ByIds<'_> {
    type SqlType = Untyped;
}

//! `INSERT … ON DUPLICATE KEY UPDATE` of many rows, the update guarded row by row.

use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{AstPass, QueryBuilder, QueryFragment, QueryId};
use diesel::result::QueryResult;

/// More rows than this in one statement gain nothing, and 1,000 rows of our widest
/// table stay well below the protocol's 65,535 placeholders.
pub(super) const ROWS_A_STATEMENT: usize = 250;

/// Ids in one `IN (…)`, for the same limit.
pub(super) const IDS_A_STATEMENT: usize = 5_000;

/// An insert whose duplicates are updated as `update` says.
///
/// Diesel's own `on_conflict` would do, but would have every column of every table
/// spelt out again; here the clause is made from the table's columns, so that none
/// can be forgotten.
pub(super) struct Guarded<Q> {
    insert: Q,
    update: &'static str,
}

impl<Q> Guarded<Q> {
    pub(super) fn new(insert: Q, update: &'static str) -> Self {
        Self { insert, update }
    }
}

impl<Q: QueryFragment<Mysql>> QueryFragment<Mysql> for Guarded<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.insert.walk_ast(out.reborrow())?;
        out.push_sql(self.update);
        Ok(())
    }
}

/// Two of them with one type can differ in SQL: nothing may be cached by type.
impl<Q> QueryId for Guarded<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// The guard: the incoming row's version is greater; among the older producer's
/// events, which have none (0), its moment is later.
///
/// `VALUES()` is deprecated in MySQL, but what replaces it is a syntax error in MariaDB.
const NEWER: &str = "(VALUES(version) > version OR (VALUES(version) = 0 AND version = 0 \
                     AND VALUES(event_timestamp) > event_timestamp))";

/// Update clause: the newer row wins whole, and only in a row of the same primary key:
/// a clash on another unique index must not rewrite somebody else's row.
///
/// MySQL assigns from left to right, and each assignment sees those before it: so the
/// two columns that the guard reads come last, in this order. When it is version's
/// turn, the moment is no longer the old one; but what is still to be decided, a
/// greater version, does not depend on it.
pub(super) fn newer_wins(columns: &impl QueryFragment<Mysql>) -> String {
    let names = column_names(columns);
    let Some((key, others)) = names.split_first() else {
        return String::new();
    };
    let same = format!("{key} = VALUES({key})");
    let content = others.iter().filter(|name| *name != "event_timestamp" && *name != "version");
    let if_newer =
        |column: &str| format!("{column} = IF({same} AND {NEWER}, VALUES({column}), {column})");
    let version = format!("version = IF({same}, GREATEST(version, VALUES(version)), version)");
    let assignments = content.map(|column| if_newer(column));
    clause(assignments.chain([if_newer("event_timestamp"), version]))
}

/// Update clause: the last writer wins. For rows that follow their parent's guard.
pub(super) fn last_wins(columns: &impl QueryFragment<Mysql>, key: &[&str]) -> String {
    let names = column_names(columns);
    let others = names.iter().filter(|name| !key.contains(&name.as_str()));
    clause(others.map(|column| format!("`{column}` = VALUES(`{column}`)")))
}

fn clause(assignments: impl Iterator<Item = String>) -> String {
    let assignments: Vec<_> = assignments.collect();
    format!(" ON DUPLICATE KEY UPDATE {}", assignments.join(", "))
}

/// Diesel renders a table's columns as `` `table`.`column`, … ``.
fn column_names(columns: &impl QueryFragment<Mysql>) -> Vec<String> {
    let mut rendered = MysqlQueryBuilder::new();
    // Plain columns bind nothing and cannot fail to render.
    let _ = columns.to_sql(&mut rendered, &Mysql);
    let name = |column: &str| column.rsplit('`').nth(1).unwrap_or_default().to_owned();
    rendered.finish().split(", ").map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{order_items, orders};

    #[test]
    fn what_the_guard_reads_is_assigned_last() {
        let clause = newer_wins(&orders::all_columns);
        let assigned: Vec<_> = clause.matches(" = IF(").collect();
        // Every column but the primary key.
        assert_eq!(assigned.len(), 19, "{clause}");
        let moment = clause.find("event_timestamp = IF(").unwrap();
        let version = clause.find("version = IF(").unwrap();
        assert!(clause.find("updated_at = IF(").unwrap() < moment && moment < version);
        assert!(clause.contains("order_id = VALUES(order_id) AND"), "{clause}");
    }

    #[test]
    fn children_keep_their_key() {
        let clause = last_wins(&order_items::all_columns, &["id", "order_id", "item_id"]);
        assert!(
            clause.starts_with(" ON DUPLICATE KEY UPDATE `product_id` = VALUES(`product_id`), ")
        );
        assert!(!clause.contains("`order_id`") && !clause.contains("`item_id`"), "{clause}");
    }
}

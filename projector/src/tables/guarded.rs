//! `INSERT … ON DUPLICATE KEY UPDATE` of many rows, the update guarded row by row.

use std::future::Future;
use std::marker::PhantomData;

use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{AstPass, QueryBuilder, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;

use crate::database::Connection;

/// So many rows go in one statement where there are as many. More gain little, and the
/// driver keeps what the server says of each placeholder of a prepared statement.
pub(crate) const ROWS_A_STATEMENT: usize = 100;

/// A row that is inserted, or updates the one that is there.
///
/// A table supplies its three inserts, since only there their types have names.
pub(crate) trait Upsert: Sized + Send + Sync + 'static {
    /// What becomes of the row that is there: ` ON DUPLICATE KEY UPDATE …`.
    fn on_duplicate() -> &'static str;

    fn insert_one(&self) -> impl Insert;
    fn insert_block(rows: &[Self; ROWS_A_STATEMENT]) -> impl Insert;
    fn insert_rest(rows: &[Self]) -> impl Insert;

    /// Writes all of `rows`. Returns MySQL's count: 1 for a row inserted, 2 for a row
    /// updated, 0 for a row left as it was.
    fn upsert(
        connection: &mut Connection,
        rows: &[Self],
    ) -> impl Future<Output = QueryResult<usize>> + Send {
        async move {
            // A statement of one row, the daily case, and one of a full block are each
            // prepared only once; any other number of rows is a new statement every time.
            if let [row] = rows {
                return Guarded::<Self, _>::new(row.insert_one()).execute(connection).await;
            }
            let (blocks, rest) = rows.as_chunks::<ROWS_A_STATEMENT>();
            let mut affected = 0;
            for block in blocks {
                let insert = Self::insert_block(block);
                affected += Guarded::<Self, _>::new(insert).execute(connection).await?;
            }
            if !rest.is_empty() {
                let insert = Self::insert_rest(rest);
                affected += Guarded::<Self, _>::new(insert).execute(connection).await?;
            }
            Ok(affected)
        }
    }
}

/// `INSERT INTO … VALUES …`, as Diesel builds it.
pub(crate) trait Insert: QueryFragment<Mysql> + QueryId + Send {}

impl<Q: QueryFragment<Mysql> + QueryId + Send> Insert for Q {}

/// An insert of rows `R` whose duplicates are updated as `R` says.
///
/// Diesel's own `on_conflict` would do, but would have every column of every table
/// spelt out again; here the clause is made from the table's columns, so that none
/// can be forgotten.
struct Guarded<R, Q> {
    insert: Q,
    row: PhantomData<fn() -> R>,
}

impl<R, Q> Guarded<R, Q> {
    fn new(insert: Q) -> Self {
        Self { insert, row: PhantomData }
    }
}

impl<R: Upsert, Q: QueryFragment<Mysql>> QueryFragment<Mysql> for Guarded<R, Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.insert.walk_ast(out.reborrow())?;
        out.push_sql(R::on_duplicate());
        Ok(())
    }
}

/// The clause follows from the type of the row, so the insert's own answer holds.
impl<R: Upsert, Q: QueryId> QueryId for Guarded<R, Q> {
    type QueryId = Guarded<R, Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
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

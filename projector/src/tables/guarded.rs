//! `INSERT … ON DUPLICATE KEY UPDATE` of many rows, the update guarded row by row.

use std::future::Future;
use std::marker::PhantomData;

use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{AstPass, QueryBuilder, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;

use crate::database::Connection;

/// A row that is inserted, or updates the one that is there.
///
/// A table supplies its insert, since only there its type has a name.
pub(crate) trait Upsert: Sized + Send + Sync + 'static {
    /// What becomes of the row that is there: ` ON DUPLICATE KEY UPDATE …`.
    fn on_duplicate() -> &'static str;

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert;

    /// Writes all of `rows`. Returns MySQL's count: 1 for a row inserted, 2 for a row
    /// updated, 0 for a row left as it was.
    ///
    /// In statements of so many rows that each stays prepared: MySQL takes longer to read
    /// a new statement of ten rows than to execute four that it knows. More than a hundred
    /// rows in one gain little, and the driver keeps what the server says of each
    /// placeholder.
    fn upsert(
        connection: &mut Connection,
        rows: &[Self],
    ) -> impl Future<Output = QueryResult<usize>> + Send {
        async move {
            let mut left = rows;
            let mut affected = 0;
            affected += in_statements_of::<100, _>(connection, &mut left).await?;
            affected += in_statements_of::<32, _>(connection, &mut left).await?;
            affected += in_statements_of::<16, _>(connection, &mut left).await?;
            affected += in_statements_of::<8, _>(connection, &mut left).await?;
            affected += in_statements_of::<4, _>(connection, &mut left).await?;
            affected += in_statements_of::<2, _>(connection, &mut left).await?;
            affected += in_statements_of::<1, _>(connection, &mut left).await?;
            Ok(affected)
        }
    }
}

/// Takes `N` rows at a time from `left`, as long as there are as many.
async fn in_statements_of<const N: usize, R: Upsert>(
    connection: &mut Connection,
    left: &mut &[R],
) -> QueryResult<usize> {
    let mut affected = 0;
    while let Some((rows, others)) = left.split_first_chunk::<N>() {
        affected += Guarded::<R, _>::new(R::insert(rows)).execute(connection).await?;
        *left = others;
    }
    Ok(affected)
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

//! The raw limit of a projection: the final rows once more, with nothing but the upsert.

use std::time::{Duration, Instant};

use e2e::Rows;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};

const ROWS_A_STATEMENT: usize = 1_000;

/// Empties `tables` and writes their rows again: prepared statements of 1,000 rows each,
/// committed one by one. Returns how long the writing took.
///
/// Nothing is guarded, looked up or read back, and nobody decodes anything.
pub async fn again(rows: &Rows, tables: &[&str]) -> Duration {
    let mut connection = rows.connect().await.expect("MySQL answers");
    let mut copies = Vec::new();
    for table in tables {
        copies.push(Copy::of(&mut connection, table).await);
    }
    for table in tables.iter().rev() {
        let delete = format!("DELETE FROM {table}");
        connection.query_drop(delete).await.expect("rows can be deleted");
    }
    let begun = Instant::now();
    for copy in copies {
        copy.write(&mut connection).await;
    }
    begun.elapsed()
}

/// A row of `table`, and the statement that writes one.
pub async fn one_of(rows: &Rows, table: &str) -> (Vec<Value>, String) {
    let mut connection = rows.connect().await.expect("MySQL answers");
    let mut copy = Copy::of(&mut connection, table).await;
    let row = copy.rows.pop().expect("a row");
    let statement = copy.statement(1);
    (row, statement)
}

/// All rows of a table.
struct Copy {
    table: String,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Copy {
    async fn of(connection: &mut Conn, table: &str) -> Self {
        // By the binary protocol, so that the values keep their types.
        let query = format!("SELECT * FROM {table}");
        let rows: Vec<mysql_async::Row> = connection.exec(query, ()).await.expect("rows");
        let columns = rows.first().map_or_else(Vec::new, |row| {
            row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect()
        });
        let rows = rows.into_iter().map(mysql_async::Row::unwrap).collect();
        Self { table: table.to_owned(), columns, rows }
    }

    async fn write(self, connection: &mut Conn) {
        for rows in self.rows.chunks(ROWS_A_STATEMENT) {
            let values: Vec<_> = rows.iter().flatten().cloned().collect();
            // The driver keeps the prepared statement.
            let statement = self.statement(rows.len());
            connection.exec_drop(statement, Params::Positional(values)).await.expect("an upsert");
        }
    }

    fn statement(&self, rows: usize) -> String {
        let Self { table, columns, .. } = self;
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        let updates: Vec<_> =
            columns.iter().map(|column| format!("`{column}` = VALUES(`{column}`)")).collect();
        format!(
            "INSERT INTO {table} (`{}`) VALUES {} ON DUPLICATE KEY UPDATE {}",
            columns.join("`,`"),
            vec![row; rows].join(","),
            updates.join(", ")
        )
    }
}

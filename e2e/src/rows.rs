use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Value};

use crate::eventually;

/// A row as text by column; NULL is absent.
pub type Row = BTreeMap<String, String>;

/// What an analyst sees: MySQL by plain SQL.
#[derive(Clone)]
pub struct Rows {
    options: OptsBuilder,
}

impl Rows {
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let options = OptsBuilder::default()
            .ip_or_hostname(environment["MYSQL_HOST"].clone())
            .tcp_port(environment["MYSQL_PORT"].parse().expect("a port"))
            .user(Some(environment["MYSQL_USER"].clone()))
            .pass(Some(environment["MYSQL_PASSWORD"].clone()))
            .db_name(Some(environment["MYSQL_DATABASE"].clone()));
        Self { options }
    }

    /// A connection to keep, for what [`Self::query`] would measure itself with.
    ///
    /// # Errors
    /// Where the server refuses it or the database is not there.
    pub async fn connect(&self) -> mysql_async::Result<Conn> {
        Conn::new(self.options.clone()).await
    }

    /// As [`Self::connect`], before the database is there.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub async fn connect_without_database(&self) -> mysql_async::Result<Conn> {
        Conn::new(self.options.clone().db_name(None::<String>)).await
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// What MySQL says, as text: the schema may not be there yet.
    pub async fn query(&self, sql: &str) -> Result<Vec<Row>, String> {
        let text = |error: mysql_async::Error| error.to_string();
        let mut connection = self.connect().await.map_err(text)?;
        let rows: Vec<mysql_async::Row> = connection.query(sql).await.map_err(text)?;
        connection.disconnect().await.map_err(text)?;
        Ok(rows.into_iter().map(by_column).collect())
    }

    /// Waits until the query finds exactly one row that `accept`s, and returns it.
    pub async fn one(&self, sql: &str, accept: impl Fn(&Row) -> bool) -> Row {
        eventually(sql, Duration::from_secs(30), async || {
            let rows = self.query(sql).await?;
            match rows.as_slice() {
                [row] if accept(row) => Ok(row.clone()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until the query finds nothing.
    pub async fn none(&self, sql: &str) {
        eventually(sql, Duration::from_secs(30), async || {
            let rows = self.query(sql).await?;
            if rows.is_empty() { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    }
}

fn by_column(row: mysql_async::Row) -> Row {
    let columns: Vec<_> =
        row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
    columns
        .into_iter()
        .zip(row.unwrap())
        .filter_map(|(column, value)| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some((column, String::from_utf8_lossy(&bytes).into_owned())),
            other => Some((column, other.as_sql(false).trim_matches('\'').to_owned())),
        })
        .collect()
}

//! What a failed transaction means: MySQL away, MySQL busy, tables that were changed, or a
//! row that it does not take.

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::database::{Connection, DatabaseError};

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A row is not taken. Whether that is the record's fault or the table's is not said.
    #[error(transparent)]
    Refused(Refusal),
    /// Deadlock or lock timeout: the same attempt can succeed at once.
    #[error("{0}")]
    Busy(String),
    /// Everything else: the server is gone, starting, read-only, full, misconfigured.
    #[error("{0}")]
    Away(String),
    /// The tables are not those that the projector writes.
    #[error("{0}")]
    Drift(String),
}

/// MySQL's word against a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}: {message}")]
pub struct Refusal {
    pub code: i64,
    pub table: &'static str,
    /// It may quote the record, so it belongs in no log.
    pub message: String,
}

impl Refusal {
    /// What may be logged of it.
    pub(crate) fn loggable(&self) -> String {
        match self.code {
            // Column or constraint, without the value.
            1264 | 1265 | 1406 | 4025 => self.to_string(),
            code => format!("{}: error {code}", self.table),
        }
    }
}

impl From<DatabaseError> for ApplyError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Drift(difference) => Self::Drift(difference),
            other => Self::Away(other.to_string()),
        }
    }
}

/// A statement that the server does not take, however often it is sent.
pub const PACKET_TOO_LARGE: i64 = 1153;

pub const DUPLICATE: [i64; 2] = [1062, 1586];

/// The codes by which MySQL and MariaDB say that a value does not fit: worth to look for
/// the record. Every other error is taken for an outage at once. Not among them is what no
/// record can cause: a missing value (1048, 1364), because every column is written, and
/// MySQL's check constraints (3819), because the projector makes none.
const REFUSALS: [i64; 22] = [
    1062, 1586, // duplicate key
    1153, // packet too large
    1264, 1265, 1292, 1300, 1366, 1367, 1406, 1411, // value and column do not fit
    1690, // number out of range
    3140, 3141, 3143, 3144, 3147, 3150, 3151, 3156, 3157, // JSON
    4025, // MariaDB's check constraint: it has one on each JSON column
];

/// 1205 lock wait timeout, 1213 deadlock, 1020 (MariaDB) record changed since last read;
/// 1216, 1217, 1451, 1452 foreign key: every product gets a supplier that is there, so
/// somebody deleted it a moment ago, and the next attempt will see that.
const BUSY: [i64; 7] = [1020, 1205, 1213, 1216, 1217, 1451, 1452];

#[derive(diesel::QueryableByName)]
struct Diagnosis {
    #[diesel(sql_type = Nullable<BigInt>)]
    code: Option<i64>,
}

/// Diesel hands on the message, whose language is the server's choice, but not the
/// code; so the server is asked for it, before anything else is sent. `table` is the one
/// that was being written.
pub(crate) async fn classify(
    connection: &mut Connection,
    table: &'static str,
    error: &DieselError,
) -> ApplyError {
    let message = error.to_string();
    // The driver's own words: the server was not even asked, and the connection is lost.
    if message.to_ascii_lowercase().contains("packet too large") {
        return ApplyError::Refused(Refusal { code: PACKET_TOO_LARGE, table, message });
    }
    match code_of_last_error(connection).await {
        Ok(Some(code)) if BUSY.contains(&code) => ApplyError::Busy(format!("{table}: {message}")),
        Ok(Some(code)) if REFUSALS.contains(&code) => {
            ApplyError::Refused(Refusal { code, table, message })
        }
        _ => ApplyError::Away(format!("{table}: {message}")),
    }
}

/// The last condition is the error; warnings and notes come before it.
async fn code_of_last_error(connection: &mut Connection) -> QueryResult<Option<i64>> {
    // Two steps, because preparing a statement, as Diesel does for a query, forgets the error.
    let take = "GET DIAGNOSTICS @conditions = NUMBER; \
                GET DIAGNOSTICS CONDITION @conditions @code = MYSQL_ERRNO";
    connection.batch_execute(take).await?;
    let diagnosis = diesel::sql_query("SELECT CAST(@code AS SIGNED) AS code");
    Ok(diagnosis.get_result::<Diagnosis>(connection).await?.code)
}

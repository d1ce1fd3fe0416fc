//! What a failed transaction means: MySQL away, MySQL busy, or a row it will never take.

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use crate::database::{Connection, DatabaseError};
use crate::poison::{Poison, Reason};

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A row is to blame: no attempt with it will ever succeed.
    #[error(transparent)]
    Refused(Poison),
    /// Deadlock or lock timeout: the same attempt can succeed at once.
    #[error("{0}")]
    Busy(String),
    /// Everything else: the server is gone, starting, read-only, full, misconfigured.
    #[error("{0}")]
    Away(String),
}

impl From<DatabaseError> for ApplyError {
    fn from(error: DatabaseError) -> Self {
        Self::Away(error.to_string())
    }
}

/// The codes by which MySQL and MariaDB say that a value does not fit. Every other
/// error is taken for an outage: that blocks and shows, whereas taking an outage for
/// poison would throw good records away.
const REFUSALS: [i64; 25] = [
    1048, // column cannot be null
    1062, 1586, // duplicate key
    1118, // row too large
    1153, // packet too large
    1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, // value and column do not fit
    1690, // number out of range
    3140, 3141, 3143, 3144, 3147, 3150, 3156, 3157, // JSON
    3819, 4025, // check constraint: MySQL's, MariaDB's
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
/// code; so the server is asked for it, before anything else is sent.
pub(crate) async fn classify(connection: &mut Connection, error: DieselError) -> ApplyError {
    let text = error.to_string();
    if text.contains("Packet too large") {
        // The driver's own: the server was not even asked.
        return refused(text);
    }
    match code_of_last_error(connection).await {
        Ok(Some(code)) if BUSY.contains(&code) => ApplyError::Busy(text),
        Ok(Some(code)) if REFUSALS.contains(&code) => refused(text),
        _ => ApplyError::Away(text),
    }
}

async fn code_of_last_error(connection: &mut Connection) -> QueryResult<Option<i64>> {
    // Two steps, because preparing a statement, as Diesel does for a query, forgets the error.
    connection.batch_execute("GET DIAGNOSTICS CONDITION 1 @code = MYSQL_ERRNO").await?;
    let diagnosis = diesel::sql_query("SELECT CAST(@code AS SIGNED) AS code");
    Ok(diagnosis.get_result::<Diagnosis>(connection).await?.code)
}

fn refused(error: String) -> ApplyError {
    ApplyError::Refused(Poison { reason: Reason::Refused, error })
}

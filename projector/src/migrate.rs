//! Migrations: run once each, by one instance, and safe to be cut short anywhere.
//!
//! DDL commits by itself, so a migration that is killed half-way has executed some of its
//! statements and left no record of it. The next start executes all of them again. Hence
//! the rules for `up.sql`:
//! - one change a statement, so that "it is there already" is an answer to all of it;
//! - what changes rows must change nothing the second time;
//! - each statement ends a line with its semicolon; comments have lines of their own.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use crate::database::DatabaseError;

#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Digits of the directory's name, as the `diesel` command records them.
    pub version: &'static str,
    pub up: &'static str,
}

/// All, in their order. A test checks that no directory is left out.
pub const MIGRATIONS: [Migration; 2] = [
    Migration {
        version: "20260101000001",
        up: include_str!("../migrations/2026-01-01-000001_projection/up.sql"),
    },
    Migration {
        version: "20261128000001",
        up: include_str!("../migrations/2026-11-28-000001_positions/up.sql"),
    },
];

/// The server's ways to say that a statement's effect is there already: table, column,
/// index, foreign key or check of that name exists, or what was to be dropped does not.
const DONE_ALREADY: [u16; 7] = [1050, 1051, 1060, 1061, 1091, 1826, 3822];

/// What was to be renamed has the new name.
const RENAMED_ALREADY: [u16; 2] = [1054, 1146];

const NO_SUCH_TABLE: u16 = 1146;

/// Another instance may take this long before we give up and try again.
const LOCK_SECONDS: u32 = 60;

const CREATE_RECORD: &str = "CREATE TABLE IF NOT EXISTS __diesel_schema_migrations \
    (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// Those of `migrations` that the database has no record of.
///
/// It reads only, so an account without the right to create anything may ask.
///
/// # Errors
/// Where the server does not answer or denies the question.
pub(crate) async fn pending<'a>(
    connection: &mut Conn,
    migrations: &'a [Migration],
) -> Result<Vec<&'a Migration>, DatabaseError> {
    let recorded: Vec<String> =
        match connection.query("SELECT version FROM __diesel_schema_migrations").await {
            Err(Error::Server(error)) if error.code == NO_SUCH_TABLE => Vec::new(),
            recorded => recorded?,
        };
    let is_new = |it: &&Migration| !recorded.iter().any(|version| version == it.version);
    Ok(migrations.iter().filter(is_new).collect())
}

/// Runs what is pending, under a lock that belongs to this very connection.
///
/// # Errors
/// Where the server does not answer or refuses a statement.
pub(crate) async fn run(
    connection: &mut Conn,
    migrations: &[Migration],
) -> Result<(), DatabaseError> {
    lock(connection).await?;
    connection.query_drop(CREATE_RECORD).await.map_err(|error| failed("the record", &error))?;
    for migration in pending(connection, migrations).await? {
        for statement in statements(migration.up) {
            match connection.query_drop(&statement).await {
                Err(Error::Server(error)) if is_done(&statement, error.code) => {
                    tracing::info!(version = migration.version, "done already: {}", error.message);
                }
                Err(error) => return Err(failed(migration.version, &error)),
                Ok(()) => {}
            }
        }
        let record = "INSERT IGNORE INTO __diesel_schema_migrations (version) VALUES (?)";
        connection.exec_drop(record, (migration.version,)).await?;
        tracing::info!(version = migration.version, "migrated");
    }
    Ok(())
}

fn failed(version: &str, error: &Error) -> DatabaseError {
    DatabaseError::Migration(format!("{version}: {error}"))
}

async fn lock(connection: &mut Conn) -> Result<(), DatabaseError> {
    // A lock's name is the server's, not the database's, and at most 64 characters long.
    let taken: Option<Row> = connection
        .exec_first(
            "SELECT CAST(GET_LOCK(CONCAT('projector.', LEFT(SHA2(DATABASE(), 256), 40)), ?) \
             AS SIGNED)",
            (LOCK_SECONDS,),
        )
        .await?;
    match taken.and_then(|row| row.get::<Option<i64>, _>(0)).flatten() {
        Some(1) => Ok(()),
        _ => Err(DatabaseError::LockTaken),
    }
}

fn is_done(statement: &str, code: u16) -> bool {
    let statement = statement.to_ascii_uppercase();
    let renames = statement.starts_with("RENAME ") || statement.contains(" RENAME ");
    DONE_ALREADY.contains(&code) || (renames && RENAMED_ALREADY.contains(&code))
}

fn statements(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n") + "\n";
    let statements = code.split(";\n").map(str::trim);
    statements.filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_is_a_migration_and_every_statement_is_found() {
        let directories = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
        let mut versions: Vec<String> = directories
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.split('_').next().unwrap().replace('-', ""))
            .collect();
        versions.sort();
        assert_eq!(versions, MIGRATIONS.map(|migration| migration.version));
        assert_eq!(statements(MIGRATIONS[0].up).len(), 9);
    }

    #[test]
    fn comments_are_no_statements() {
        let text = "-- one; two\nCREATE TABLE a (b INT);\n  -- c;\nALTER TABLE a\n  ADD d INT;\n";
        assert_eq!(statements(text), ["CREATE TABLE a (b INT)", "ALTER TABLE a\n  ADD d INT"]);
        assert!(is_done("ALTER TABLE a RENAME COLUMN b TO c", 1054));
        assert!(!is_done("UPDATE a SET b = 1", 1054));
    }
}

//! A database that has the tables of the projector, and no others of the same names.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use shared::process::MysqlSettings;

use crate::database::{DatabaseError, connect, open, open_server};
use crate::drift::drift;
use crate::expected::TABLES;
use crate::migrate::{self, MIGRATIONS, Migration};

/// "Unknown database".
const NO_SUCH_DATABASE: u16 = 1049;

/// Creates the database where it is missing, brings its schema up to date, and makes sure
/// that the tables are the projector's.
///
/// Any number of instances may do so at once: one works, the others wait. An account that
/// may not create anything is enough where nothing is pending.
///
/// # Errors
/// Where the server cannot be reached or is too old, or the account may neither find nor
/// create the database, or the tables are others.
pub async fn prepare(settings: &MysqlSettings) -> Result<(), DatabaseError> {
    migrate(settings, &MIGRATIONS).await?;
    match drift(&mut connect(settings).await?).await? {
        None => Ok(()),
        Some(difference) => Err(DatabaseError::Drift(difference)),
    }
}

/// Runs those of `migrations` that the database does not have yet. To be cut short and
/// run again does no harm.
///
/// # Errors
/// Where the server cannot be reached, is too old or refuses a statement.
pub async fn migrate(
    settings: &MysqlSettings,
    migrations: &[Migration],
) -> Result<(), DatabaseError> {
    let mut connection = match open(settings).await {
        Err(DatabaseError::Connect(mysql_async::Error::Server(error)))
            if error.code == NO_SUCH_DATABASE =>
        {
            create_database(settings).await?;
            open(settings).await?
        }
        connection => connection?,
    };
    let pending = migrate::pending(&mut connection, migrations).await?;
    if pending.is_empty() {
        return Ok(());
    }
    check_version(&mut connection).await?;
    if pending.len() == migrations.len() {
        check_no_foreign_tables(&mut connection).await?;
    }
    migrate::run(&mut connection, migrations).await
}

/// Older ones read the collation of the ids as a comment.
async fn check_version(connection: &mut Conn) -> Result<(), DatabaseError> {
    let version: Option<String> = connection.query_first("SELECT VERSION()").await?;
    let version = version.unwrap_or_default();
    let mut numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0_u32));
    let mut number = || numbers.next().unwrap_or(0);
    let found = (number(), number(), number());
    let oldest = if version.contains("MariaDB") { (10, 6, 0) } else { (8, 0, 17) };
    if found >= oldest {
        return Ok(());
    }
    Err(DatabaseError::Drift(format!(
        "the server is {version}: MySQL 8.0.17 or MariaDB 10.6 is the oldest that will do"
    )))
}

/// Before anything is created beside them.
async fn check_no_foreign_tables(connection: &mut Conn) -> Result<(), DatabaseError> {
    for table in TABLES.iter() {
        let columns: Vec<String> = connection
            .exec(
                "SELECT column_name FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND table_name = ?",
                (table.name,),
            )
            .await?;
        let is_ours = table.key.iter().all(|key| columns.iter().any(|column| column == key));
        if !columns.is_empty() && !is_ours {
            return Err(DatabaseError::Drift(format!(
                "{}: a table of that name is there that is not the projector's; name another \
                 MYSQL_DATABASE",
                table.name
            )));
        }
    }
    Ok(())
}

async fn create_database(settings: &MysqlSettings) -> Result<(), DatabaseError> {
    let mut connection = open_server(settings).await?;
    let name = settings.mysql_database.replace('`', "``");
    let statement = format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4");
    Ok(connection.query_drop(statement).await?)
}

//! The way to MySQL: connections as the projector needs them, and a schema that
//! is up to date.

use std::time::Duration;

use diesel::sql_types::{Integer, Nullable, Text};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, bb8};
use diesel_async::{
    AsyncMigrationHarness, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures::FutureExt;
use mysql_async::{OptsBuilder, SslOpts};
use shared::process::{MysqlSettings, MysqlTls};

pub type Connection = AsyncMysqlConnection;
pub type Pool = bb8::Pool<Connection>;

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// A server that swallows packets shall not keep us waiting for the kernel's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Migrations of another instance may take this long before we give up and try again.
const MIGRATION_LOCK_SECONDS: i32 = 60;

/// Set on every connection, whatever the server's own defaults are:
/// - strict, because a value that is cut to fit its column is a wrong value;
/// - READ COMMITTED, because the guards must see what others committed meanwhile,
///   and because it takes no gap locks where nothing is there;
/// - a lock wait that ends well before anyone gives up on us.
const SESSION: [&str; 3] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 10",
];

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("cannot connect: {0}")]
    Connect(#[from] mysql_async::Error),
    #[error("cannot connect: {0}")]
    Setup(#[from] diesel::ConnectionError),
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout,
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
    #[error("another instance holds the migration lock")]
    LockTaken,
    #[error("a migration failed: {0}")]
    Migration(String),
}

/// A connection to the configured database, its session set up as above.
///
/// # Errors
/// Where the server cannot be reached, refuses us or lacks the database.
pub async fn connect(settings: &MysqlSettings) -> Result<Connection, DatabaseError> {
    open(options(settings).db_name(Some(&settings.mysql_database))).await
}

/// A connection whose transactions begin with their first statement, which saves each a
/// round trip, and end with `COMMIT` or `ROLLBACK`. A type of its own, since on any other
/// connection each statement would be a transaction.
pub struct Writer(pub(crate) Connection);

impl Writer {
    /// # Errors
    /// As [`connect`].
    pub async fn connect(settings: &MysqlSettings) -> Result<Self, DatabaseError> {
        let mut connection = connect(settings).await?;
        connection.batch_execute("SET SESSION autocommit = 0").await?;
        Ok(Self(connection))
    }
}

/// A pool of connections as [`connect`] makes them. It opens the first one when it is first
/// needed.
pub fn pool(settings: &MysqlSettings, size: u32) -> Pool {
    let settings = settings.clone();
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |_| {
        let settings = settings.clone();
        async move {
            connect(&settings)
                .await
                .map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))
        }
        .boxed()
    });
    // The manager's own way to connect, by a URL, is replaced above: a URL would have to
    // spell out the password, and cannot say all that `options` does.
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    bb8::Pool::builder().max_size(size).build_unchecked(manager)
}

/// Creates the database where it is missing and brings its schema up to date.
///
/// Any number of instances may do so at once: one works, the others wait.
///
/// # Errors
/// Where the server cannot be reached, or the account may neither find nor create the database.
pub async fn prepare(settings: &MysqlSettings) -> Result<(), DatabaseError> {
    match connect(settings).await {
        Err(DatabaseError::Connect(mysql_async::Error::Server(error))) if error.code == 1049 => {
            create_database(settings).await?;
        }
        other => drop(other?),
    }
    run_migrations(settings).await
}

/// Runs the migrations that the database does not have yet, under a lock.
///
/// # Errors
/// Where the server cannot be reached or refuses a statement.
pub async fn run_migrations(settings: &MysqlSettings) -> Result<(), DatabaseError> {
    let mut connection = connect(settings).await?;
    lock_migrations(&mut connection, &settings.mysql_database).await?;
    // The harness blocks its thread and drives a runtime of its own on it, which swallows
    // the wake-ups of whatever else is polled there. On a thread of its own it has none.
    let migrating = tokio::task::spawn_blocking(move || run_pending(connection));
    migrating.await.map_err(|panic| DatabaseError::Migration(panic.to_string()))?
}

/// The lock belongs to this very connection and goes with it.
fn run_pending(connection: Connection) -> Result<(), DatabaseError> {
    let applied = AsyncMigrationHarness::new(connection)
        .run_pending_migrations(MIGRATIONS)
        .map(|versions| versions.iter().map(ToString::to_string).collect::<Vec<_>>())
        .map_err(|error| DatabaseError::Migration(error.to_string()))?;
    for version in applied {
        tracing::info!(version, "migrated");
    }
    Ok(())
}

async fn create_database(settings: &MysqlSettings) -> Result<(), DatabaseError> {
    let mut connection = open(options(settings)).await?;
    let name = settings.mysql_database.replace('`', "``");
    let statement = format!("CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4");
    connection.batch_execute(&statement).await?;
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct Lock {
    #[diesel(sql_type = Nullable<Integer>)]
    taken: Option<i32>,
}

async fn lock_migrations(connection: &mut Connection, database: &str) -> Result<(), DatabaseError> {
    // A lock's name is the server's, not the database's, and at most 64 characters long.
    let lock: Lock = diesel::sql_query(
        "SELECT CAST(GET_LOCK(CONCAT('projector.', LEFT(SHA2(?, 256), 40)), ?) AS SIGNED) AS taken",
    )
    .bind::<Text, _>(database)
    .bind::<Integer, _>(MIGRATION_LOCK_SECONDS)
    .get_result(connection)
    .await?;
    match lock.taken {
        Some(1) => Ok(()),
        _ => Err(DatabaseError::LockTaken),
    }
}

async fn open(options: OptsBuilder) -> Result<Connection, DatabaseError> {
    let opening = async {
        let connection = mysql_async::Conn::new(options).await?;
        Ok(AsyncMysqlConnection::try_from(connection).await?)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| DatabaseError::Timeout)?
}

fn options(settings: &MysqlSettings) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(&settings.mysql_host)
        .tcp_port(settings.mysql_port)
        .user(Some(&settings.mysql_user))
        .pass(Some(&settings.mysql_password))
        .ssl_opts(tls(settings))
        // It would leave the address that was configured, and TLS with it.
        .prefer_socket(false)
        .tcp_nodelay(true)
        // Statements are cached by Diesel.
        .stmt_cache_size(0)
        // "Affected" shall mean changed: a row that its guard kept as it was counts 0.
        .client_found_rows(false)
        .init(SESSION.to_vec())
}

/// How a connection is encrypted, for every client of MySQL in the project.
pub fn tls(settings: &MysqlSettings) -> Option<SslOpts> {
    let roots = settings.mysql_tls_ca.iter().cloned().map(Into::into).collect();
    let verified = SslOpts::default().with_root_certs(roots);
    match settings.mysql_tls {
        MysqlTls::Off => None,
        MysqlTls::Encrypt => Some(verified.with_danger_accept_invalid_certs(true)),
        MysqlTls::VerifyFull => Some(verified),
    }
}

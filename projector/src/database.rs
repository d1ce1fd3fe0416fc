//! The way to MySQL: connections as the projector needs them, and a schema that
//! is up to date.

use std::time::{Duration, Instant};

use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use shared::process::{MysqlSettings, MysqlTls};

use crate::drift::drift;

pub use crate::prepare::{migrate, prepare};

pub type Connection = AsyncMysqlConnection;

/// A server that swallows packets shall not keep us waiting for the kernel's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer to that comes at once, or the connection is dead.
const VET_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than the four minutes after which some firewalls forget a silent connection.
const KEEPALIVE_MILLISECONDS: u32 = 30_000;

/// Set on every connection, whatever the server's own defaults are:
/// - strict, because a value that is cut to fit its column is a wrong value;
/// - waits for locks on rows and on tables that end well before anyone gives up on us;
/// - READ COMMITTED, because the guards must see what others committed meanwhile,
///   and because it takes no gap locks where nothing is there.
const SESSION: [&str; 2] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 10, \
     lock_wait_timeout = 10",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
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
    #[error("migration {0}")]
    Migration(String),
    /// The tables are not those that the projector writes.
    #[error("{0}")]
    Drift(String),
}

/// A connection to the configured database, its session set up as above.
///
/// # Errors
/// Where the server cannot be reached, refuses us or lacks the database.
pub async fn connect(settings: &MysqlSettings) -> Result<Connection, DatabaseError> {
    let opening = async { Ok(AsyncMysqlConnection::try_from(open(settings).await?).await?) };
    tokio::time::timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| DatabaseError::Timeout)?
}

/// A connection whose transactions begin with their first statement, which saves each a
/// round trip, and end with `COMMIT` or `ROLLBACK`. A type of its own, since on any other
/// connection each statement would be a transaction.
pub struct Writer {
    pub(crate) connection: Connection,
    /// What `KILL` calls it.
    pub(crate) id: u32,
    vetted: Instant,
}

impl Writer {
    /// How often a connection is asked whether its tables have changed: by an ALTER that no
    /// statement notices, such as another collation. After a pause the question also tells
    /// whether a firewall has forgotten the connection.
    pub(crate) const VET_EVERY: Duration = Duration::from_secs(30);

    /// # Errors
    /// As [`connect`], and where the tables are not those that the projector writes.
    pub async fn connect(settings: &MysqlSettings) -> Result<Self, DatabaseError> {
        let opening = async {
            let connection = open(settings).await?;
            let id = connection.id();
            let mut connection = AsyncMysqlConnection::try_from(connection).await?;
            connection.batch_execute("SET SESSION autocommit = 0").await?;
            let mut writer = Self { connection, id, vetted: Instant::now() };
            writer.vet().await?;
            Ok(writer)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, opening).await.map_err(|_| DatabaseError::Timeout)?
    }

    /// Compares the tables with those that the projector writes.
    async fn vet(&mut self) -> Result<(), DatabaseError> {
        let difference = drift(&mut self.connection).await?;
        // It was a transaction, too.
        self.connection.batch_execute("ROLLBACK").await?;
        self.vetted = Instant::now();
        difference.map_or(Ok(()), |difference| Err(DatabaseError::Drift(difference)))
    }

    /// The same, if the last time is at least so long ago.
    ///
    /// # Errors
    /// [`DatabaseError::Drift`] names the difference. After any other the connection is
    /// of no use.
    pub(crate) async fn vet_unless_within(&mut self, age: Duration) -> Result<(), DatabaseError> {
        if self.vetted.elapsed() < age {
            return Ok(());
        }
        let vetting = self.vet();
        tokio::time::timeout(VET_TIMEOUT, vetting).await.map_err(|_| DatabaseError::Timeout)?
    }
}

/// Ends a connection that was given up: the server does not notice by itself while the
/// statement waits or works.
///
/// # Errors
/// Where the server cannot be reached.
pub(crate) async fn kill(settings: &MysqlSettings, id: u32) -> Result<(), DatabaseError> {
    let killing = async {
        let mut connection = open(settings).await?;
        match connection.query_drop(format!("KILL {id}")).await {
            // It is gone already.
            Err(mysql_async::Error::Server(error)) if error.code == 1094 => Ok(()),
            killed => Ok(killed?),
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, killing).await.map_err(|_| DatabaseError::Timeout)?
}

/// Without what Diesel needs.
pub(crate) async fn open(settings: &MysqlSettings) -> Result<Conn, DatabaseError> {
    timed(Conn::new(options(settings).db_name(Some(&settings.mysql_database)))).await
}

/// In no database.
pub(crate) async fn open_server(settings: &MysqlSettings) -> Result<Conn, DatabaseError> {
    timed(Conn::new(options(settings))).await
}

async fn timed(
    opening: impl Future<Output = mysql_async::Result<Conn>>,
) -> Result<Conn, DatabaseError> {
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
    Ok(opened.map_err(|_| DatabaseError::Timeout)??)
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
        .tcp_keepalive(Some(KEEPALIVE_MILLISECONDS))
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

//! MongoDB behind one door: whatever changes a document goes through
//! [`Store::commit`], and what goes through it carries its events.

mod commit;
mod counts;
mod credentials;
mod doubt;
mod error;
mod group;
mod list;
mod look_up;
mod once;
mod order;
mod pipeline;
mod read;
mod reads;
mod schema;
mod secrets;
mod timeline;
mod transaction;
mod undecodable;
mod watermarks;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::RawDocumentBuf;
use mongodb::options::{ClientOptions, ReadPreference, WriteConcern};
use mongodb::{Client, Collection, Database};
use shared::event::Domain;
use shared::process::MongoSettings;
use shared::watermark;

use crate::metrics::Metrics;

use counts::Counting;
use group::Committing;
use look_up::LookUp;
use reads::Reads;
use transaction::Transactions;
use undecodable::Undecodable;
use watermarks::Watermarking;

pub use commit::Attempt;
pub use counts::COUNTED_DOCUMENTS;
pub use credentials::Credentials;
pub use doubt::Doubt;
pub use error::{CommitError, Constraint};
pub use group::GroupLimits;
pub use list::Listing;
pub use once::{IdempotencyKey, Once, Remembered};
pub use order::Order;
pub use pipeline::{COUNTED, PACE_MILLIS, Pace, Pipeline, Waiting, earliest};
pub use secrets::{BankingInfo, NoSecrets, SupplierSecrets, UserSecrets};
pub use timeline::{Recorded, Standing};
pub use watermarks::{Division, Watermarks};
pub use write::{Cause, Committed, Write};

/// Connections to MongoDB, unless the URL says `maxPoolSize`.
const CONNECTIONS: u32 = 64;
/// Connections that are opened at once, unless the URL says `maxConnecting`. The driver's own
/// two make everybody wait when many have ended together.
const CONNECTING: u32 = 8;
/// Queries at once; more would take longer, each and all.
const QUERIES: u32 = 32;
/// Connections that are not for them: transactions, look-ups, and the ping.
const RESERVED: u32 = 8;

/// The documents and their outbox. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    client: Client,
    database: Database,
    committing: Committing,
    look_ups: [LookUp; Domain::ALL.len()],
    watermarking: Watermarking,
    counting: Counting,
    timeout: Duration,
    reads: Reads,
    undecodable: Undecodable,
    metrics: Metrics,
    /// Set once the unique indexes stand: no write may slip in before them.
    prepared: Arc<AtomicBool>,
}

impl Store {
    /// Parses the connection string and connects in the background: MongoDB may
    /// come later.
    ///
    /// # Errors
    /// Where the connection string is malformed or its host names do not resolve.
    pub async fn connect(
        settings: &MongoSettings,
        timeout: Duration,
        groups: GroupLimits,
        metrics: Metrics,
    ) -> mongodb::error::Result<Self> {
        let mut options = ClientOptions::parse(&settings.mongodb_url).await?;
        options.app_name.get_or_insert_with(|| "api".to_owned());
        options.server_selection_timeout = Some(timeout);
        options.connect_timeout.get_or_insert(timeout);
        options.write_concern = Some(WriteConcern::majority());
        // Whatever the URL says: a client reads its own writes, and a transaction takes no
        // other read preference and not every read concern.
        options.selection_criteria = Some(ReadPreference::Primary.into());
        options.read_concern = None;
        let connections = *options.max_pool_size.get_or_insert(CONNECTIONS);
        options.max_connecting.get_or_insert(CONNECTING);
        let client = Client::with_options(options)?;
        let database = client.database(&settings.database_name);
        let transactions = Transactions {
            client: client.clone(),
            database: database.clone(),
            retries: metrics.transaction_retries.clone(),
        };
        let look_ups = Domain::ALL
            .map(|domain| LookUp::start(database.collection(domain.collection()), timeout));
        let queries = QUERIES.min(connections.saturating_sub(RESERVED)).max(1) as usize;
        Ok(Self {
            reads: Reads::new(queries, timeout, metrics.query_wait_seconds.clone()),
            undecodable: Undecodable::new(metrics.undecodable_documents.clone()),
            look_ups,
            watermarking: Watermarking::new(database.collection(watermark::COLLECTION)),
            counting: Counting::new(database.clone()),
            committing: Committing::start(transactions, groups, timeout, metrics.clone()),
            client,
            database,
            timeout,
            metrics,
            prepared: Arc::default(),
        })
    }

    /// Whether [`Store::prepare`] has succeeded.
    pub fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    /// # Errors
    /// Where no primary answers.
    pub async fn ping(&self) -> mongodb::error::Result<()> {
        let ping = self.database.run_command(mongodb::bson::doc! { "ping": 1 });
        timed(self.timeout, ping.into_future()).await.map(|_| ())
    }

    fn documents(&self, domain: Domain) -> Collection<RawDocumentBuf> {
        self.collection(domain.collection())
    }

    fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }

    fn look_up(&self, domain: Domain) -> &LookUp {
        &self.look_ups[domain as usize]
    }
}

/// What the driver answers in this time; else an error as if the connection was lost.
async fn timed<T>(
    time: Duration,
    asked: impl Future<Output = mongodb::error::Result<T>>,
) -> mongodb::error::Result<T> {
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    tokio::time::timeout(time, asked).await.unwrap_or_else(late)
}

//! MongoDB behind one door: whatever changes a document goes through
//! [`Store::commit`], and what goes through it carries its events.

mod commit;
mod credentials;
mod error;
mod group;
mod list;
mod look_up;
mod once;
mod pipeline;
mod read;
mod schema;
mod secrets;
mod timeline;
mod transaction;
mod watermarks;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::bson::RawDocumentBuf;
use mongodb::options::{
    ClientOptions, CollectionOptions, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use shared::event::Domain;
use shared::process::MongoSettings;
use shared::watermark;

use crate::metrics::Metrics;

use group::Committing;
use look_up::LookUp;
use transaction::Transactions;
use watermarks::Watermarking;

pub use commit::Attempt;
pub use credentials::Credentials;
pub use error::{CommitError, Constraint};
pub use group::GroupLimits;
pub use list::{Listing, Order};
pub use once::{IdempotencyKey, Once, Remembered};
pub use pipeline::{COUNTED, PACE_MILLIS, Pace, Pipeline, Waiting, earliest};
pub use secrets::{BankingInfo, NoSecrets, SupplierSecrets, UserSecrets};
pub use timeline::{Recorded, Standing};
pub use watermarks::{Division, Watermarks};
pub use write::{Cause, Committed, Write};

/// The documents and their outbox. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    client: Client,
    database: Database,
    committing: Committing,
    look_ups: [LookUp; Domain::ALL.len()],
    watermarking: Watermarking,
    timeout: Duration,
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
        let client = Client::with_options(options)?;
        let database = client.database(&settings.database_name);
        let transactions = Transactions {
            client: client.clone(),
            database: database.clone(),
            retries: metrics.transaction_retries.clone(),
        };
        let look_ups =
            Domain::ALL.map(|domain| LookUp::start(from_primary(&database, domain.collection())));
        Ok(Self {
            look_ups,
            watermarking: Watermarking::new(from_primary(&database, watermark::COLLECTION)),
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
        self.database.run_command(mongodb::bson::doc! { "ping": 1 }).await.map(|_| ())
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

/// A client reads its own writes, whatever read preference the URL names.
fn from_primary<T: Send + Sync>(database: &Database, name: &str) -> Collection<T> {
    let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
    let options = CollectionOptions::builder().selection_criteria(primary).build();
    database.collection_with_options(name, options)
}

//! The MongoDB side: the outbox collection and what the relay needs to know of it.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use futures::TryStreamExt;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ClientOptions, CollectionOptions, IndexOptions, ReadConcern, WriteConcern};
use mongodb::{Client, ClientSession, Collection, Database, IndexModel};
use shared::outbox::{self, field};
use shared::process::MongoSettings;
use shared::watermark;

use crate::backlog::by_insertion;
use crate::checkpoint;
use crate::position::ClusterTime;

pub use shared::outbox::DEAD_COLLECTION;

/// Longer than any failover takes to begin, shorter than an operator's patience.
const AWAY: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct Source {
    database: Database,
    pub outbox: Collection<RawDocumentBuf>,
    pub dead: Collection<Document>,
    pub leases: Collection<Document>,
    pub watermarks: Collection<Document>,
}

/// Which outbox this is, and what time it is there.
#[derive(Debug, Clone)]
pub struct Identity {
    pub source: checkpoint::Source,
    pub now: ClusterTime,
}

impl Source {
    /// Talks to no server yet (but may resolve names).
    ///
    /// # Errors
    /// Where the connection string is none.
    pub async fn new(settings: &MongoSettings) -> Result<Self, Error> {
        let mut options = ClientOptions::parse(&settings.mongodb_url).await?;
        options.app_name.get_or_insert_with(|| "relay".to_owned());
        options.server_selection_timeout.get_or_insert(AWAY);
        options.connect_timeout.get_or_insert(AWAY);
        // Only what a majority holds may be published: anything else can be rolled back.
        options.read_concern = Some(ReadConcern::majority());
        let database = Client::with_options(options)?.database(&settings.database_name);
        Ok(Self {
            outbox: database.collection(outbox::COLLECTION),
            dead: database.collection(DEAD_COLLECTION),
            leases: database.collection_with_options("relay_leases", soon()),
            watermarks: database.collection_with_options(watermark::COLLECTION, soon()),
            database,
        })
    }

    /// Makes sure that the collection and the indexes exist, and tells which one it is.
    ///
    /// # Errors
    /// Where MongoDB is away or refuses.
    pub async fn prepare(&self) -> Result<Identity, Error> {
        // The sweep reads in this order; the purge uses that one.
        self.ensure_index(doc! { field::ENTITY_ID: 1, field::VERSION: 1 }).await?;
        self.ensure_index(doc! { field::OCCURRED_AT: 1 }).await?;
        // What is pending is counted by this one.
        self.ensure_index(by_insertion()).await?;
        Ok(Identity {
            source: checkpoint::Source {
                database: self.database.name().to_owned(),
                outbox: self.outbox_uuid().await?,
            },
            now: self.cluster_time().await?,
        })
    }

    async fn ensure_index(&self, keys: Document) -> Result<(), Error> {
        let model = IndexModel::builder().keys(keys).options(IndexOptions::default()).build();
        match self.outbox.create_index(model).await {
            // The same index under another name or with other options serves as well.
            Err(error) if matches!(command_code(&error), Some(85 | 86)) => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    /// The collection's own id, which a drop or a restore changes.
    async fn outbox_uuid(&self) -> Result<bson::Uuid, Error> {
        let filter = doc! { "name": outbox::COLLECTION };
        let found = self.database.list_collections().filter(filter).await?;
        let found: Vec<_> = found.try_collect().await?;
        let uuid = found.into_iter().next().and_then(|collection| collection.info.uuid);
        uuid.and_then(|binary| binary.to_uuid().ok())
            .ok_or_else(|| Error::custom("the outbox collection has no UUID: is it a view?"))
    }

    /// The primary's logical time: all committed before now carries an earlier one.
    ///
    /// # Errors
    /// Where MongoDB is away, or is no replica set.
    pub async fn cluster_time(&self) -> Result<ClusterTime, Error> {
        let reply = self.database.run_command(doc! { "ping": 1 }).await?;
        let time = reply.get_timestamp("operationTime").map_err(|_| {
            Error::custom("MongoDB tells no operation time: change streams need a replica set")
        })?;
        Ok(time.into())
    }
}

impl Source {
    /// Its reads, of read concern "snapshot", see what was committed up to `time`, and
    /// nothing later. MongoDB (5.0 and later) remembers a moment for five minutes, unless
    /// `minSnapshotHistoryWindowInSeconds` says otherwise.
    ///
    /// # Errors
    /// Where the driver refuses.
    pub async fn session_at(&self, time: ClusterTime) -> Result<ClientSession, Error> {
        let client = self.database.client();
        client.start_session().snapshot(true).snapshot_time(bson::Timestamp::from(time)).await
    }

    /// Cluster time in seconds of the oldest oplog entry: where change streams begin.
    ///
    /// # Errors
    /// Where the account may not read the oplog.
    pub async fn oplog_begin(&self) -> Result<Option<u32>, Error> {
        let oplog = self.database.client().database("local");
        let oplog = oplog.collection::<Document>("oplog.rs");
        let first = oplog.find_one(doc! {}).sort(doc! { "$natural": 1 });
        let first = first.projection(doc! { "ts": 1 }).await?;
        Ok(first.and_then(|entry| entry.get_timestamp("ts").ok()).map(|ts| ts.time))
    }
}

impl Source {
    /// Lets the driver finish what it does behind our back (it kills the cursors that were
    /// dropped): cut off in that, it panics.
    pub async fn close(&self) {
        let closing = self.database.client().clone().shutdown();
        tokio::time::timeout(Duration::from_secs(1), closing).await.ok();
    }
}

/// A watermark that a failover takes back is written anew in a moment, and so is a lease: no
/// need to wait for a majority to have it.
fn soon() -> CollectionOptions {
    CollectionOptions::builder().write_concern(WriteConcern::nodes(1)).build()
}

/// What went wrong in a line: the driver's own text repeats the server's whole answer.
pub fn plain(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(failed) => {
            format!("{} ({}): {}", failed.code_name, failed.code, failed.message)
        }
        kind => kind.to_string(),
    }
}

/// The server's code of a command that failed.
pub fn command_code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(failed) => Some(failed.code),
        _ => None,
    }
}

/// Whether a write failed because a document with this key is there already.
pub fn is_duplicate(error: &Error) -> bool {
    const DUPLICATE_KEY: i32 = 11_000;
    match error.kind.as_ref() {
        ErrorKind::Command(failed) => failed.code == DUPLICATE_KEY,
        ErrorKind::Write(WriteFailure::WriteError(failed)) => failed.code == DUPLICATE_KEY,
        _ => false,
    }
}

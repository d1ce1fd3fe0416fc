//! How many documents a collection holds: counted, up to a limit.
//!
//! The server's own figure (`estimatedDocumentCount`) costs nothing, and is wrong for good
//! after mongod was killed. So the index of the ids is walked, and what costs more is
//! done less often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use mongodb::Database;
use mongodb::bson::{Bson, doc};
use mongodb::error::Result;
use mongodb::options::{ReadPreference, SelectionCriteria};
use shared::event::Domain;
use shared::outbox;
use tokio::time::{Instant, timeout};

/// A count ends here: it means "so many or more".
pub const COUNTED_DOCUMENTS: u64 = 100_000;
/// All counts together. What takes longer is unknown; the rest of the page does not wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// Counting takes a twentieth of the time at most.
const REST: u32 = 20;

/// By collection; [`COUNTED_DOCUMENTS`] is so many or more.
pub type Counts = BTreeMap<&'static str, u64>;

/// Counts the collections, now and then. Cheap to clone.
#[derive(Clone)]
pub struct Counting {
    database: Database,
    last: Arc<Mutex<Option<Last>>>,
}

struct Last {
    counts: Option<Counts>,
    good_until: Instant,
}

impl Counting {
    pub(super) fn new(database: Database) -> Self {
        Self { database, last: Arc::default() }
    }

    /// Returns the counts of all collections, as of a moment ago; `None` where counting
    /// takes too long.
    ///
    /// # Errors
    /// Where MongoDB is away.
    pub(super) async fn counts(&self) -> Result<Option<Counts>> {
        if let Some(last) = self.lock().as_ref().filter(|last| Instant::now() < last.good_until) {
            return Ok(last.counts.clone());
        }
        let begun = Instant::now();
        let documents = Domain::ALL.map(Domain::collection);
        let names = documents.into_iter().chain([outbox::COLLECTION, outbox::DEAD_COLLECTION]);
        let counting = try_join_all(names.map(|name| self.count(name)));
        let counts = match timeout(PATIENCE, counting).await {
            Ok(counted) => Some(counted?.into_iter().collect()),
            Err(_) => None,
        };
        let good_until = Instant::now() + begun.elapsed() * REST;
        *self.lock() = Some(Last { counts: counts.clone(), good_until });
        Ok(counts)
    }

    async fn count(&self, collection: &'static str) -> Result<(&'static str, u64)> {
        // Without a condition the server would answer from what it believes.
        let command = doc! {
            "count": collection,
            "query": { "_id": { "$gte": Bson::MinKey } },
            "hint": { "_id": 1 },
            "limit": i64::try_from(COUNTED_DOCUMENTS).unwrap_or(i64::MAX),
            "maxTimeMS": i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX),
        };
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let reply = self.database.run_command(command).selection_criteria(primary).await?;
        let count = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n"));
        Ok((collection, u64::try_from(count.unwrap_or(0)).unwrap_or(0)))
    }

    /// A whole value is stored at a time, so a panic cannot have harmed it.
    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt as _;
use futures::future::join_all;
use mongodb::Database;
use mongodb::error::Result;
use serde::Serialize;
use shared::Timestamp;
use shared::event::Domain;
use shared::process::MongoSettings;

use super::hops;
use crate::servers;

/// One count. What takes longer is not known.
const COUNTING: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
pub struct Documents {
    /// All there are.
    pub total: u64,
    /// Those that are not deleted.
    pub live: u64,
    /// Those that MySQL has a row of once all is applied.
    pub due: u64,
}

#[derive(Debug)]
pub struct Source {
    /// Absent where there are too many to count in passing.
    pub documents: BTreeMap<Domain, Documents>,
    /// Records that the relay has not purged yet, published or not; absent where
    /// there are too many to count in passing.
    pub outbox: Option<BTreeMap<Domain, u64>>,
    pub dead_events: Option<u64>,
    pub problems: Vec<String>,
}

/// # Errors
/// Where MongoDB does not answer.
pub async fn read(settings: &MongoSettings) -> Result<Source> {
    let database = servers::mongodb(settings).await?;
    let problems = hops::read(&database).await?.problems(Timestamp::now());
    let counting = join_all(Domain::ALL.map(|domain| count(&database, domain)));
    let dead = count_all(&database, shared::outbox::DEAD_COLLECTION, doc! {});
    let (documents, outbox, dead_events) = futures::join!(counting, count_outbox(&database), dead);
    let counted = Domain::ALL.into_iter().zip(documents);
    Ok(Source {
        documents: counted.filter_map(|(domain, found)| Some((domain, found.ok()?))).collect(),
        outbox: outbox.ok(),
        dead_events: dead_events.ok(),
        problems,
    })
}

async fn count(database: &Database, domain: Domain) -> Result<Documents> {
    let live = match domain {
        Domain::User | Domain::Post => doc! {"deleted_at": null},
        Domain::Product => doc! {"status": {"$ne": "deleted"}},
        Domain::Supplier | Domain::Order => doc! {},
    };
    let collection = domain.collection();
    let (total, live) = futures::try_join!(
        count_all(database, collection, doc! {}),
        count_all(database, collection, live),
    )?;
    // The row of a user or a post that is deleted stays, that of a product goes.
    let due = if domain == Domain::Product { live } else { total };
    Ok(Documents { total, live, due })
}

async fn count_all(database: &Database, collection: &str, filter: Document) -> Result<u64> {
    database.collection::<Document>(collection).count_documents(filter).max_time(COUNTING).await
}

async fn count_outbox(database: &Database) -> Result<BTreeMap<Domain, u64>> {
    let by_topic = doc! {"$group": {"_id": "$topic", "records": {"$sum": 1_i64}}};
    let counts: Vec<Document> = database
        .collection::<Document>(shared::outbox::COLLECTION)
        .aggregate([by_topic])
        .max_time(COUNTING)
        .await?
        .try_collect()
        .await?;
    let count = |document: &Document| {
        let domain = Domain::from_topic(document.get_str("_id").ok()?)?;
        Some((domain, document.get_i64("records").ok()?.try_into().ok()?))
    };
    Ok(counts.iter().filter_map(count).collect())
}

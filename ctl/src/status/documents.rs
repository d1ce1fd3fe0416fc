use std::collections::BTreeMap;

use bson::{Document, doc};
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Result;
use serde::Serialize;
use shared::event::Domain;
use shared::process::MongoSettings;

use crate::servers::{self, PATIENCE};

#[derive(Debug, Serialize)]
pub struct Documents {
    /// All there are.
    pub total: u64,
    /// Those that are not deleted.
    pub live: u64,
}

#[derive(Debug)]
pub struct Source {
    pub documents: BTreeMap<Domain, Documents>,
    /// Records that the relay has not purged yet, published or not; absent where
    /// there are too many to count in passing.
    pub outbox: Option<BTreeMap<Domain, u64>>,
}

pub async fn read(settings: &MongoSettings) -> Result<Source> {
    let database = servers::mongodb(settings).await?;
    let mut documents = BTreeMap::new();
    for domain in Domain::ALL {
        documents.insert(domain, count(&database, domain).await?);
    }
    let outbox = count_outbox(&database).await.ok();
    Ok(Source { documents, outbox })
}

async fn count(database: &Database, domain: Domain) -> Result<Documents> {
    let collection = database.collection::<Document>(domain.collection());
    let live = match domain {
        Domain::User | Domain::Post => doc! {"deleted_at": null},
        Domain::Product => doc! {"status": {"$ne": "deleted"}},
        Domain::Supplier | Domain::Order => doc! {},
    };
    Ok(Documents {
        total: collection.count_documents(doc! {}).await?,
        live: collection.count_documents(live).await?,
    })
}

async fn count_outbox(database: &Database) -> Result<BTreeMap<Domain, u64>> {
    let by_topic = doc! {"$group": {"_id": "$topic", "records": {"$sum": 1_i64}}};
    let counts: Vec<Document> = database
        .collection::<Document>(shared::outbox::COLLECTION)
        .aggregate([by_topic])
        .max_time(PATIENCE)
        .await?
        .try_collect()
        .await?;
    let count = |document: &Document| {
        let domain = Domain::from_topic(document.get_str("_id").ok()?)?;
        Some((domain, document.get_i64("records").ok()?.try_into().ok()?))
    };
    Ok(counts.iter().filter_map(count).collect())
}

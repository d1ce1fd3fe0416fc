//! The documents, page after page.

use bson::{RawDocumentBuf, doc, oid::ObjectId};
use futures::{TryStreamExt as _, stream};
use mongodb::options::{CollectionOptions, ReadConcern};
use mongodb::{Collection, Database};
use shared::Id;
use shared::event::Domain;

use super::ReplayError;
use crate::patience::Patience;
use crate::servers;

/// Documents a transaction.
const PAGE: usize = 500;
/// A page ends early after this many bytes of documents.
const PAGE_BYTES: usize = 16 << 20;

/// Reads what a majority has: a version that a failover takes back, and another write is
/// given afterwards, would stay in MySQL.
pub struct Documents(Database);

impl Documents {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// About how many there are.
    ///
    /// # Errors
    /// If MongoDB does not answer, at once.
    pub async fn estimate(&self) -> Result<u64, ReplayError> {
        let domains = stream::iter(Domain::ALL.map(Ok::<_, ReplayError>));
        let count = |sum, domain| async move {
            Ok(sum + self.collection(domain).estimated_document_count().await?)
        };
        domains.try_fold(0, count).await
    }

    /// The documents that follow on `after`, in the order of their ids; none at the end.
    ///
    /// # Errors
    /// If MongoDB refuses, or stays away.
    pub async fn page(
        &self,
        domain: Domain,
        after: Option<ObjectId>,
    ) -> Result<Vec<RawDocumentBuf>, ReplayError> {
        let mut patience = Patience::with("MongoDB");
        loop {
            match self.try_page(domain, after).await {
                Err(error) if servers::is_passing(&error) => {
                    patience.wait(ReplayError::from(error)).await?
                }
                page => return Ok(page?),
            }
        }
    }

    async fn try_page(
        &self,
        domain: Domain,
        after: Option<ObjectId>,
    ) -> mongodb::error::Result<Vec<RawDocumentBuf>> {
        // MongoDB compares within one type only.
        let filter = match after {
            Some(after) => doc! {"_id": {"$gt": after}},
            None => doc! {"_id": {"$type": "objectId"}},
        };
        let documents = self.collection(domain);
        let find = documents.find(filter).sort(doc! {"_id": 1});
        let find = find.limit(i64::try_from(PAGE).unwrap_or(i64::MAX));
        let mut found = find.projection(doc! {"password_hash": 0, "banking_info": 0}).await?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(document) = found.try_next().await?
        {
            bytes += document.as_bytes().len();
            page.push(document);
        }
        Ok(page)
    }

    /// How many documents have an `_id` that was made by hand, and what stands for the first
    /// `limit` of them: they have no row.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn of_other_ids(
        &self,
        domain: Domain,
        limit: usize,
    ) -> Result<(u64, Vec<String>), ReplayError> {
        let mut patience = Patience::with("MongoDB");
        loop {
            match self.try_other_ids(domain, limit).await {
                Err(error) if servers::is_passing(&error) => {
                    patience.wait(ReplayError::from(error)).await?
                }
                found => return Ok(found?),
            }
        }
    }

    async fn try_other_ids(
        &self,
        domain: Domain,
        limit: usize,
    ) -> mongodb::error::Result<(u64, Vec<String>)> {
        let filter = doc! {"_id": {"$not": {"$type": "objectId"}}};
        let documents = self.collection(domain);
        let find = documents.find(filter.clone()).projection(doc! {"_id": 1});
        let find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let first: Vec<RawDocumentBuf> = find.await?.try_collect().await?;
        let count = match first.len() {
            few if few < limit => few as u64,
            _ => documents.count_documents(filter).await?,
        };
        Ok((count, first.iter().map(|raw| format!("{:?}", raw.get("_id"))).collect()))
    }

    /// Those of `ids` that have a document.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub async fn present(&self, domain: Domain, ids: &[Id]) -> Result<Vec<Id>, ReplayError> {
        let mut patience = Patience::with("MongoDB");
        loop {
            let documents = self.collection(domain);
            let find = documents.find(doc! {"_id": {"$in": ids}}).projection(doc! {"_id": 1});
            let found: mongodb::error::Result<Vec<RawDocumentBuf>> =
                async { find.await?.try_collect().await }.await;
            match found {
                Err(error) if servers::is_passing(&error) => {
                    patience.wait(ReplayError::from(error)).await?
                }
                found => {
                    let found = found?;
                    let ids = found.iter().filter_map(|raw| raw.get_object_id("_id").ok());
                    return Ok(ids.map(Id::from).collect());
                }
            }
        }
    }

    fn collection(&self, domain: Domain) -> Collection<RawDocumentBuf> {
        let options = CollectionOptions::builder().read_concern(ReadConcern::majority()).build();
        self.0.collection_with_options(domain.collection(), options)
    }
}

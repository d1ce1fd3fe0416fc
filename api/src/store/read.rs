use std::collections::BTreeSet;

use futures::TryStreamExt;
use futures::future::try_join_all;
use mongodb::Collection;
use mongodb::bson::{self, Document as Filter, RawDocumentBuf, doc};
use serde::de::DeserializeOwned;
use shared::Id;
use shared::document::Document;

use super::{BankingInfo, Store, timed};
use crate::http::ApiError;

impl Store {
    /// The document with this id.
    ///
    /// # Errors
    /// NotFound where there is none, or it is deleted.
    pub async fn get<D: Document>(&self, id: Id) -> Result<D, ApiError> {
        let found = self.find(id).await?.filter(|document: &D| !document.is_deleted());
        found.ok_or(ApiError::NotFound(D::DOMAIN.topic()))
    }

    /// The document with this id, deleted or not.
    pub async fn find<D: Document>(&self, id: Id) -> Result<Option<D>, ApiError> {
        let found = timed(self.timeout, self.look_up(D::DOMAIN).find(id)).await?;
        found.map(|stored| from_stored(&stored)).transpose()
    }

    /// Those of the documents that there are, deleted or not, each once.
    pub async fn find_each<D: Document>(
        &self,
        ids: impl IntoIterator<Item = Id>,
    ) -> Result<Vec<D>, ApiError> {
        let ids: BTreeSet<Id> = ids.into_iter().collect();
        let found = try_join_all(ids.into_iter().map(|id| self.find(id))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// All documents that match, for a write that concerns each of them.
    pub async fn all<D: Document>(&self, filter: Filter) -> Result<Vec<D>, ApiError> {
        let documents = self.typed::<D>(D::DOMAIN.collection());
        self.in_time(async move { Ok(documents.find(filter).await?.try_collect().await?) }).await
    }

    /// The bank details that lie beside a supplier.
    pub async fn banking_info(&self, supplier: Id) -> Result<Option<BankingInfo>, ApiError> {
        #[derive(serde::Deserialize)]
        struct Secrets {
            #[serde(default)]
            banking_info: Option<BankingInfo>,
        }
        let suppliers = self.typed::<Secrets>(shared::event::Domain::Supplier.collection());
        let query = async move {
            let secrets = suppliers.find_one(doc! { "_id": supplier });
            Ok(secrets.projection(doc! { "banking_info": 1 }).await?)
        };
        let found = self.in_time(query).await?;
        Ok(found.and_then(|secrets| secrets.banking_info))
    }

    pub(super) fn typed<T: DeserializeOwned + Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }
}

fn from_stored<D: Document>(stored: &RawDocumentBuf) -> Result<D, ApiError> {
    bson::deserialize_from_slice(stored.as_bytes()).map_err(ApiError::internal)
}

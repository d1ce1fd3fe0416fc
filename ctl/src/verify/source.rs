//! The documents, as MongoDB holds them.

use std::collections::HashSet;

use bson::{RawBsonRef, RawDocumentBuf, doc, oid::ObjectId};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use mongodb::options::ReadConcern;
use mongodb::{Collection, Database};
use shared::event::Domain;

use super::projected::Source;
use super::shape::Shape;

type MongoResult<T> = mongodb::error::Result<T>;

/// Documents a round trip; what one page holds in memory.
const PAGE: u32 = 500;

#[derive(Clone)]
pub struct Documents(Database);

impl Documents {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    pub async fn count(&self, domain: Domain) -> MongoResult<u64> {
        self.collection(domain).estimated_document_count().await
    }

    /// All documents of a domain in the order of their ids.
    pub async fn all(
        &self,
        shape: &'static Shape,
    ) -> MongoResult<impl Stream<Item = MongoResult<Source>> + use<>> {
        let cursor = self
            .collection(shape.domain)
            .find(doc! {})
            .sort(doc! {"_id": 1})
            .projection(without_secrets())
            .batch_size(PAGE)
            .await?;
        Ok(cursor.map(|raw| raw.map(|raw| read(shape, &raw))))
    }

    /// Those of `ids` that exist.
    pub async fn by_ids(
        &self,
        shape: &'static Shape,
        ids: &[Box<str>],
    ) -> MongoResult<Vec<Source>> {
        let cursor = self
            .collection(shape.domain)
            .find(doc! {"_id": {"$in": object_ids(ids.iter().map(AsRef::as_ref))}})
            .projection(without_secrets())
            .await?;
        cursor.map_ok(|raw| read(shape, &raw)).try_collect().await
    }

    /// Those of `ids` that have a supplier.
    pub async fn suppliers(&self, ids: &HashSet<String>) -> MongoResult<HashSet<String>> {
        let filter = doc! {"_id": {"$in": object_ids(ids.iter().map(String::as_str))}};
        let suppliers = self.collection(Domain::Supplier);
        let cursor = suppliers.find(filter).projection(doc! {"_id": 1}).await?;
        cursor.map_ok(|raw| id_of(&raw)).try_collect().await
    }

    /// Those of `suppliers` that a living product refers to.
    pub async fn referred_to(&self, suppliers: &HashSet<String>) -> MongoResult<HashSet<String>> {
        let ids = object_ids(suppliers.iter().map(String::as_str));
        let filter = doc! {"supplier_id": {"$in": ids}, "status": {"$ne": "deleted"}};
        let referred = self.collection(Domain::Product).distinct("supplier_id", filter).await?;
        Ok(referred.iter().filter_map(|id| id.as_object_id()).map(|id| id.to_hex()).collect())
    }

    /// What a failover would take back is not yet worth comparing.
    fn collection(&self, domain: Domain) -> Collection<RawDocumentBuf> {
        let options = mongodb::options::CollectionOptions::builder()
            .read_concern(ReadConcern::majority())
            .build();
        self.0.collection_with_options(domain.collection(), options)
    }
}

/// The verifier has no use for them, so they stay where they are.
fn without_secrets() -> bson::Document {
    doc! {"password_hash": 0, "banking_info": 0}
}

fn read(shape: &Shape, raw: &RawDocumentBuf) -> Source {
    Source::read(shape, id_of(raw), raw)
}

/// As it stands in MySQL. An id that is no ObjectId takes a form that no row has and
/// that sorts before all of them: it can never hold up the merge.
fn id_of(raw: &RawDocumentBuf) -> String {
    match raw.get("_id") {
        Ok(Some(RawBsonRef::ObjectId(id))) => id.to_hex(),
        Ok(Some(other)) => format!("({other:?})"),
        _ => "(without _id)".to_owned(),
    }
}

fn object_ids<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<ObjectId> {
    ids.filter_map(|id| id.parse().ok()).collect()
}

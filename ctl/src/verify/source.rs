//! The documents, as MongoDB holds them.

use std::collections::HashSet;

use bson::{RawBsonRef, RawDocumentBuf, doc, oid::ObjectId};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use mongodb::options::ReadConcern;
use mongodb::{Collection, Database};
use shared::Id;
use shared::event::Domain;
use shared::outbox::{self, field};

use super::projected::Source;
use super::range::Range;
use super::shape::Shape;

type MongoResult<T> = mongodb::error::Result<T>;

/// Documents a round trip; what one page holds in memory.
const PAGE: u32 = 500;
/// Fewer documents than this are not worth dividing.
const SMALL: u64 = 5_000;
/// Enough for ranges of nearly the same size.
const SAMPLE_A_RANGE: usize = 32;

#[derive(Clone)]
pub struct Documents(Database);

impl Documents {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    pub async fn count(&self, domain: Domain) -> MongoResult<u64> {
        self.collection(domain).estimated_document_count().await
    }

    /// About `count` ranges of a domain's ids, or the whole where it is small.
    pub async fn ranges(&self, domain: Domain, count: usize) -> MongoResult<Vec<Range>> {
        if count < 2 || self.count(domain).await? < SMALL {
            return Ok(vec![Range::default()]);
        }
        let size = i64::try_from(count * SAMPLE_A_RANGE).unwrap_or(i64::MAX);
        let pipeline = [doc! {"$sample": {"size": size}}, doc! {"$project": {"_id": 1}}];
        let mut sampled = self.collection(domain).aggregate(pipeline).await?;
        let mut sample = Vec::new();
        while let Some(document) = sampled.try_next().await? {
            sample.extend(document.get_object_id("_id").ok().map(Id::from));
        }
        Ok(Range::cut(sample, count))
    }

    /// All documents of a range in the order of their ids.
    pub async fn all(
        &self,
        shape: &'static Shape,
        range: Range,
    ) -> MongoResult<impl Stream<Item = MongoResult<Source>> + use<>> {
        let cursor = self
            .collection(shape.domain)
            .find(range.filter())
            .sort(doc! {"_id": 1})
            .projection(without_secrets())
            .batch_size(PAGE)
            .await?;
        Ok(cursor.map(|raw| raw.map(|raw| read(shape, &raw))))
    }

    /// The next `limit` ids of a domain.
    pub async fn ids_after(
        &self,
        domain: Domain,
        after: Option<Id>,
        limit: usize,
    ) -> MongoResult<Vec<Id>> {
        let filter = match after {
            Some(after) => doc! {"_id": {"$gt": after}},
            None => doc! {"_id": {"$type": "objectId"}},
        };
        let documents = self.collection(domain);
        let find = documents.find(filter).sort(doc! {"_id": 1});
        let find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut found = find.projection(doc! {"_id": 1}).await?;
        let mut ids = Vec::with_capacity(limit);
        while let Some(document) = found.try_next().await? {
            ids.extend(document.get_object_id("_id").ok().map(Id::from));
        }
        Ok(ids)
    }

    /// What stands for the ids of documents whose `_id` was made by hand.
    pub async fn ids_of_other_types(&self, domain: Domain) -> MongoResult<Vec<String>> {
        let filter = doc! {"_id": {"$not": {"$type": "objectId"}}};
        let found = self.collection(domain).find(filter).projection(doc! {"_id": 1}).await?;
        found.map_ok(|raw| id_of(&raw)).try_collect().await
    }

    /// Those of `ids` that exist.
    pub async fn by_ids(&self, shape: &'static Shape, ids: &[Id]) -> MongoResult<Vec<Source>> {
        let cursor = self
            .collection(shape.domain)
            .find(doc! {"_id": {"$in": ids}})
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

    /// Those of `entities`, each with a version, of which the outbox holds an event with
    /// a later one: a change that its row has still to see.
    pub async fn with_later_events(&self, entities: &[(Id, i64)]) -> MongoResult<HashSet<String>> {
        if entities.is_empty() {
            return Ok(HashSet::new());
        }
        let later = |(id, version): &(Id, i64)| doc! {field::ENTITY_ID: id.to_string(), field::VERSION: {"$gt": version}};
        let outbox = self.raw(outbox::COLLECTION);
        let find = outbox.find(doc! {"$or": entities.iter().map(later).collect::<Vec<_>>()});
        let found = find.projection(doc! {"_id": 0, field::ENTITY_ID: 1}).await?;
        let entity =
            |event: RawDocumentBuf| event.get_str(field::ENTITY_ID).ok().map(str::to_owned);
        found.try_filter_map(async |event| Ok(entity(event))).try_collect().await
    }

    /// What a failover would take back is not yet worth comparing.
    fn collection(&self, domain: Domain) -> Collection<RawDocumentBuf> {
        self.raw(domain.collection())
    }

    fn raw(&self, name: &str) -> Collection<RawDocumentBuf> {
        let options = mongodb::options::CollectionOptions::builder()
            .read_concern(ReadConcern::majority())
            .build();
        self.0.collection_with_options(name, options)
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

use futures::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document as Filter, RawDocument, RawDocumentBuf, doc};
use serde::Deserialize;
use shared::document::Document;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Store;
use super::order::Order;
use crate::http::ApiError;
use crate::requests::{Cursor, Page};

/// Bytes of documents on one page; one document that is larger has a page of its own.
const PAGE_BYTES: usize = 4 << 20;
/// A document of more bytes is read by itself. So the answer to a list's query is small,
/// whatever there is to list.
const INLINE_BYTES: i32 = 16 << 10;
/// A page of fewer bytes is made at once; larger ones wait for one another.
const SMALL_PAGE_BYTES: usize = 256 << 10;

/// One page, and where the next begins if there is more.
pub struct Listing<T> {
    pub documents: Vec<T>,
    pub next: Option<Cursor>,
    /// To keep until the page is sent, if it is large.
    pub room: Option<OwnedSemaphorePermit>,
}

/// A document's place in the list; the document only if it is small.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    id: ObjectId,
    bytes: i32,
    #[serde(default)]
    document: Option<RawDocumentBuf>,
}

impl Store {
    /// A page of the documents that match: `page.limit` of them, or fewer if those would be
    /// too many bytes. Documents that cannot be read are left out.
    ///
    /// # Errors
    /// Validation for a cursor that is from a list of another order; Overloaded while too
    /// many large pages are made or sent.
    pub async fn list<D: Document>(
        &self,
        filter: Filter,
        order: Order,
        page: Page,
    ) -> Result<Listing<D>, ApiError> {
        let listing = timeout(self.timeout, self.page(filter, order, page)).await;
        listing.unwrap_or(Err(ApiError::UNAVAILABLE))
    }

    /// As [`Store::list`], each of its queries with a time of its own.
    async fn page<D: Document>(
        &self,
        mut filter: Filter,
        order: Order,
        page: Page,
    ) -> Result<Listing<D>, ApiError> {
        if let Some(cursor) = page.cursor {
            let behind = order.behind(cursor)?;
            filter.insert("$and", vec![behind]);
        }
        let wanted = page.limit as usize;
        let mut rows = self.rows::<D>(filter.clone(), order, page).await?;
        let mut more = rows.len() > wanted;
        rows.truncate(wanted);
        let all_bytes: usize = rows.iter().map(Row::bytes).sum();
        let room = if all_bytes > SMALL_PAGE_BYTES { Some(self.room().await?) } else { None };

        let (mut documents, mut last, mut bytes) = (Vec::with_capacity(rows.len()), None, 0);
        for row in rows {
            bytes += row.bytes();
            if bytes > PAGE_BYTES && !documents.is_empty() {
                more = true;
                break;
            }
            let Some(stored) = self.of_row::<D>(row, &filter).await? else {
                continue;
            };
            last = order.cursor(&stored).or(last);
            documents.extend(self.readable::<D>(&stored));
        }
        Ok(Listing { documents, next: last.filter(|_| more), room })
    }

    async fn rows<D: Document>(
        &self,
        filter: Filter,
        order: Order,
        page: Page,
    ) -> Result<Vec<Row>, ApiError> {
        let bytes = doc! { "$bsonSize": "$$ROOT" };
        let is_small = doc! { "$lte": [&bytes, INLINE_BYTES] };
        let document = doc! { "$cond": [is_small, "$$ROOT", "$$REMOVE"] };
        let rows = self.typed::<Row>(D::DOMAIN.collection());
        let query = async move {
            let query = rows
                .find(filter)
                .projection(doc! { "_id": 1, "bytes": bytes, "document": document })
                .sort(order.keys())
                .skip(u64::from(page.skip))
                // One more than is wanted tells whether there is a next page.
                .limit(i64::from(page.limit) + 1);
            Ok(query.await?.try_collect().await?)
        };
        self.in_time(query).await
    }

    /// The row's document; `None` if it does not match any more.
    async fn of_row<D: Document>(
        &self,
        row: Row,
        filter: &Filter,
    ) -> Result<Option<RawDocumentBuf>, ApiError> {
        if row.document.is_some() {
            return Ok(row.document);
        }
        let documents = self.documents(D::DOMAIN);
        let filter = doc! { "$and": [{ "_id": row.id }, filter.clone()] };
        self.in_time(async move { Ok(documents.find_one(filter).await?) }).await
    }

    /// The document, unless it was written around the API or by another release in a form
    /// that cannot be read. Its neighbours are listed all the same.
    fn readable<D: Document>(&self, stored: &RawDocument) -> Option<D> {
        bson::deserialize_from_slice(stored.as_bytes())
            .inspect_err(|error| {
                let (collection, id) = (D::DOMAIN.collection(), stored.get_object_id("_id").ok());
                self.undecodable.note(collection, id, error);
            })
            .ok()
    }
}

impl Row {
    fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or_default()
    }
}

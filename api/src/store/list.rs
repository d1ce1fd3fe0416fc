use futures::TryStreamExt;
use mongodb::bson::{self, DateTime, Document as Filter, RawDocument, RawDocumentBuf, doc};
use shared::Id;
use shared::document::Document;

use super::Store;
use crate::http::ApiError;
use crate::requests::{Cursor, Page};

/// How a list is ordered. What it is ordered by never changes again, and the id decides
/// between equals: so a cursor keeps its place while others insert and delete.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// As they were made.
    ById,
    /// By this moment, the latest first.
    Newest(&'static str),
}

/// One page, and where the next begins if there is more.
pub struct Listing<T> {
    pub documents: Vec<T>,
    pub next: Option<Cursor>,
}

impl Store {
    /// A page of the documents that match.
    ///
    /// # Errors
    /// Validation for a cursor that is from a list of another order.
    pub async fn list<D: Document>(
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
        let documents = self.typed::<RawDocumentBuf>(D::DOMAIN.collection());
        let query = documents
            .find(filter)
            .sort(order.keys())
            .skip(u64::from(page.skip))
            // One more than is wanted tells whether there is a next page.
            .limit(i64::from(page.limit) + 1);
        let mut found: Vec<RawDocumentBuf> =
            self.in_time(async { Ok(query.await?.try_collect().await?) }).await?;
        let more = found.len() > wanted;
        found.truncate(wanted);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| order.cursor(last)).transpose()?;
        let documents = found.iter().map(|raw| bson::deserialize_from_slice(raw.as_bytes()));
        Ok(Listing {
            documents: documents.collect::<Result<_, _>>().map_err(ApiError::internal)?,
            next,
        })
    }
}

impl Order {
    fn keys(self) -> Filter {
        match self {
            Self::ById => doc! { "_id": 1 },
            Self::Newest(moment) => doc! { moment: -1, "_id": -1 },
        }
    }

    /// The place of a document in the list.
    fn cursor(self, document: &RawDocument) -> Result<Cursor, ApiError> {
        let id = Id::from(document.get_object_id("_id").map_err(ApiError::internal)?);
        let millis = match self {
            Self::ById => None,
            Self::Newest(moment) => {
                let moment = document.get_datetime(moment).map_err(ApiError::internal)?;
                Some(moment.timestamp_millis())
            }
        };
        Ok(Cursor { id, millis })
    }

    /// Matches what comes after the cursor.
    fn behind(self, cursor: Cursor) -> Result<Filter, ApiError> {
        match (self, cursor.millis) {
            (Self::ById, None) => Ok(doc! { "_id": { "$gt": cursor.id } }),
            (Self::Newest(moment), Some(millis)) => {
                let at = DateTime::from_millis(millis);
                let earlier = doc! { moment: { "$lt": at } };
                let same = doc! { moment: at, "_id": { "$lt": cursor.id } };
                // The first condition alone bounds the index; the second decides equals.
                Ok(doc! { moment: { "$lte": at }, "$or": [earlier, same] })
            }
            _ => Err(ApiError::invalid("cursor", "not a cursor of this list")),
        }
    }
}

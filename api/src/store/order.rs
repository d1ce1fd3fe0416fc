use mongodb::bson::{DateTime, Document as Filter, RawDocument, doc};
use shared::Id;

use crate::http::ApiError;
use crate::requests::Cursor;

/// How a list is ordered. What it is ordered by never changes again, and the id decides
/// between equals: so a cursor keeps its place while others insert and delete.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// As they were made.
    ById,
    /// By this moment, the latest first.
    Newest(&'static str),
}

impl Order {
    pub(super) fn keys(self) -> Filter {
        match self {
            Self::ById => doc! { "_id": 1 },
            Self::Newest(moment) => doc! { moment: -1, "_id": -1 },
        }
    }

    /// The place of a document in the list; `None` if it lacks what the list is ordered by,
    /// and no page that begins at a cursor has it.
    pub(super) fn cursor(self, document: &RawDocument) -> Option<Cursor> {
        let id = Id::from(document.get_object_id("_id").ok()?);
        let millis = match self {
            Self::ById => None,
            Self::Newest(moment) => Some(document.get_datetime(moment).ok()?.timestamp_millis()),
        };
        Some(Cursor { id, millis })
    }

    /// Matches what comes after the cursor.
    pub(super) fn behind(self, cursor: Cursor) -> Result<Filter, ApiError> {
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

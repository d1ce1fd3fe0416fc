//! A change event, and the answer of the server that brought it.

use std::sync::{Arc, LazyLock};

use bson::{RawDocument, RawDocumentBuf};
use bytes::Bytes;
use mongodb::error::Error;
use mongodb::raw_batch_cursor::RawBatch;
use shared::Timestamp;

use crate::position::{ClusterTime, Position, UnreadableToken};

/// A change event, in the bytes of the answer that brought it: it is copied for the first
/// time when librdkafka takes it. The answer is freed with the last of its events.
#[derive(Debug, Clone)]
pub struct Change(Bytes);

/// What stands in for a document that is none.
static NOTHING: LazyLock<RawDocumentBuf> = LazyLock::new(RawDocumentBuf::new);

impl Change {
    pub fn raw(&self) -> &RawDocument {
        RawDocument::from_bytes(&self.0).unwrap_or(&NOTHING)
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    pub fn operation(&self) -> Option<&str> {
        self.raw().get_str("operationType").ok()
    }

    /// The outbox record. A change event that lacks it stands for itself, and is found
    /// broken.
    pub fn record(&self) -> &RawDocument {
        let change = self.raw();
        change.get_document("fullDocument").unwrap_or(change)
    }

    /// When it was committed, by MongoDB's logical clock.
    pub fn time(&self) -> Option<ClusterTime> {
        self.raw().get_timestamp("clusterTime").ok().map(ClusterTime::from)
    }

    /// # Errors
    /// Where the change event lacks its token, which no MongoDB does.
    pub fn position(&self) -> Result<Position, MalformedAnswer> {
        let change = self.raw();
        let mut position = Position::try_from(change.get_document("_id").unwrap_or(change))?;
        if let Some(time) = self.time() {
            position.time = time;
        }
        Ok(position)
    }

    /// When the event was committed, in milliseconds since MongoDB 6.0; before, only the
    /// second is known.
    pub fn committed_at(&self) -> Option<Timestamp> {
        let millis = match self.raw().get_datetime("wallTime") {
            Ok(time) => time.timestamp_millis(),
            Err(_) => i64::from(self.time()?.seconds) * 1000,
        };
        Timestamp::from_millis(millis)
    }
}

impl From<RawDocumentBuf> for Change {
    fn from(change: RawDocumentBuf) -> Self {
        Self(change.into_bytes().into())
    }
}

/// What one request brought.
#[derive(Debug)]
pub struct Answer {
    pub changes: std::vec::IntoIter<Change>,
    /// All that the stream has brought so far lies before it.
    pub end: Option<Position>,
}

/// Keeps the server's answer for as long as one of its events is on its way.
struct Held(Arc<RawBatch>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_raw_document().as_bytes()
    }
}

impl TryFrom<RawBatch> for Answer {
    type Error = MalformedAnswer;

    fn try_from(answer: RawBatch) -> Result<Self, MalformedAnswer> {
        let answer = Arc::new(answer);
        let held = Bytes::from_owner(Held(Arc::clone(&answer)));
        let changes = answer.doc_slices()?.into_iter().map(|change| {
            let change = change?.as_document().ok_or(MalformedAnswer::NotDocuments)?;
            Ok(Change(held.slice_ref(change.as_bytes())))
        });
        let changes: Vec<Change> = changes.collect::<Result<_, MalformedAnswer>>()?;
        let cursor = answer.as_raw_document().get_document("cursor");
        let token = cursor.and_then(|cursor| cursor.get_document("postBatchResumeToken"));
        let end = match (token, changes.last()) {
            (Ok(token), _) => Some(Position::try_from(token)?),
            (Err(_), Some(last)) => Some(last.position()?),
            (Err(_), None) => None,
        };
        Ok(Self { changes: changes.into_iter(), end })
    }
}

/// An answer that is none of a change stream's.
#[derive(Debug, thiserror::Error)]
pub enum MalformedAnswer {
    #[error("malformed answer: {0}")]
    Driver(#[from] Error),
    #[error("malformed answer: {0}")]
    Bson(#[from] bson::error::Error),
    #[error("malformed answer: something in it is no document")]
    NotDocuments,
    #[error(transparent)]
    Token(#[from] UnreadableToken),
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Timestamp as MongoTime, rawdoc};

    use super::*;

    fn token() -> RawDocumentBuf {
        rawdoc! { "_data": "8265A1B2C30000000D2B0229296E04" }
    }

    #[test]
    fn what_lacks_its_parts_says_so() {
        let change = Change::from(rawdoc! { "operationType": "insert" });
        assert_eq!(change.operation(), Some("insert"));
        assert_eq!(change.record(), change.raw(), "stands for itself");
        assert!(change.position().is_err());
        assert!(change.committed_at().is_none());
    }

    #[test]
    fn the_commit_is_told_to_the_millisecond_where_the_server_does() {
        let time = MongoTime { time: 1_700_000_000, increment: 7 };
        let old = Change::from(rawdoc! { "_id": token(), "clusterTime": time });
        let millis = |change: &Change| change.committed_at().unwrap().millis();
        assert_eq!(millis(&old), 1_700_000_000_000);
        let position = old.position().unwrap();
        assert_eq!(position.time, time.into(), "of the event, not of its token");
        let wall = DateTime::from_millis(1_700_000_000_123);
        let new = Change::from(rawdoc! { "clusterTime": time, "wallTime": wall });
        assert_eq!(millis(&new), 1_700_000_000_123);
    }
}

//! Documents by id, read in company: while one query is in flight, the ids that are asked
//! for meanwhile wait, and go into the next one together, each once. What group commit is
//! for writes, without a timer: who comes alone waits for nobody.
//!
//! **Guarantee:** an answer is never older than its question, because its query is sent
//! after the question came.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};
use mongodb::error::Error;
use shared::Id;
use tokio::sync::{mpsc, oneshot};

use super::timed;

/// Ids in one query: more gain nothing, and an answer of that many large documents
/// would make the small ones wait.
const QUERY_IDS: usize = 128;
/// Questions that may wait; more wait for room, as the requests that they belong to do.
const QUEUE: usize = 1024;

/// A document as it is stored, shared by all who asked for it.
type Found = Result<Option<Arc<RawDocumentBuf>>, Error>;

/// The way into one collection. Cheap to clone; ends when the last clone is gone.
#[derive(Clone)]
pub(super) struct LookUp {
    questions: mpsc::Sender<Question>,
}

struct Question {
    id: Id,
    reply: oneshot::Sender<Found>,
}

impl LookUp {
    /// Each query takes at most `time`: those behind it wait for it.
    pub fn start(collection: Collection<RawDocumentBuf>, time: Duration) -> Self {
        let (questions, asked) = mpsc::channel(QUEUE);
        tokio::spawn(answer_all(collection, time, asked));
        Self { questions }
    }

    /// The document with this id; `None` where there is none.
    ///
    /// # Errors
    /// What the query fails with, for all who shared it.
    pub async fn find(&self, id: Id) -> Found {
        let ended = || Error::custom("the look-up has ended");
        let (reply, found) = oneshot::channel();
        self.questions.send(Question { id, reply }).await.map_err(|_| ended())?;
        found.await.map_err(|_| ended())?
    }
}

async fn answer_all(
    collection: Collection<RawDocumentBuf>,
    time: Duration,
    mut asked: mpsc::Receiver<Question>,
) {
    let mut questions = Vec::with_capacity(QUERY_IDS);
    while asked.recv_many(&mut questions, QUERY_IDS).await > 0 {
        // Who stopped waiting needs no answer.
        questions.retain(|question| !question.reply.is_closed());
        let found = timed(time, read(&collection, &questions)).await;
        for Question { id, reply } in questions.drain(..) {
            let found = found.as_ref().map(|found| found.get(&id.object_id()).cloned());
            let _ = reply.send(found.map_err(Clone::clone));
        }
    }
}

async fn read(
    collection: &Collection<RawDocumentBuf>,
    questions: &[Question],
) -> Result<HashMap<ObjectId, Arc<RawDocumentBuf>>, Error> {
    let mut ids: Vec<Id> = questions.iter().map(|question| question.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let documents: Vec<RawDocumentBuf> = match ids[..] {
        [] => Vec::new(),
        // The server's shortest way to one document.
        [id] => collection.find_one(doc! { "_id": id }).await?.into_iter().collect(),
        _ => collection.find(doc! { "_id": { "$in": ids } }).await?.try_collect().await?,
    };
    let keyed = documents.into_iter().map(|document| {
        let id = document.get_object_id("_id").map_err(Error::custom)?;
        Ok((id, Arc::new(document)))
    });
    keyed.collect()
}

//! The change stream on the outbox, by the server's answers and not by the event.
//!
//! The driver's own stream asks for more only once all that it has is taken, so that
//! MongoDB and the relay would wait for each other; and it copies each event twice. This
//! one asks ahead, and hands out the answer's own bytes.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use mongodb::Collection;
use mongodb::error::{Error, ErrorKind};
use mongodb::raw_batch_cursor::RawBatchCursor;
use shared::Shard;

use crate::change::Answer;
use crate::position::Position;
use crate::source::command_code;
use crate::tail::TailError;

/// How long the server waits for an event before it says that there is none. An idle
/// relay's lag grows to twice this between two proofs of idleness. And only such a proof
/// says that nothing else was committed together with the last event: whoever waits for
/// that event's watermark waits for it.
///
/// Not 50: an event that comes just as the wait ends is brought one request later, and
/// whoever writes twenty times a second would meet that moment each time.
const AWAIT: Duration = Duration::from_millis(45);

/// Most events in one answer of the server.
pub const ANSWER: u32 = 500;

type Opening = BoxFuture<'static, Result<RawBatchCursor, Error>>;

pub struct ChangeStream {
    outbox: Collection<RawDocumentBuf>,
    shard: Shard,
    cursor: RawBatchCursor,
    /// Behind all that was brought so far.
    after: Option<Position>,
    /// The cursor has failed: this is the next one.
    reopening: Option<Opening>,
    /// Nothing has come of the last reopening yet.
    reopened: bool,
    /// Came while asking ahead.
    ready: Option<Result<Answer, TailError>>,
}

impl ChangeStream {
    /// After `from`, or from now on.
    ///
    /// # Errors
    /// [`TailError::Lost`] where the server no longer reaches back to `from`.
    pub async fn open(
        outbox: &Collection<RawDocumentBuf>,
        shard: Shard,
        from: Option<&Position>,
    ) -> Result<Self, TailError> {
        let cursor = cursor(outbox, shard, from).await?;
        Ok(Self {
            outbox: outbox.clone(),
            shard,
            cursor,
            after: from.cloned(),
            reopening: None,
            reopened: false,
            ready: None,
        })
    }

    /// Sends the next request, without waiting for its answer.
    pub fn ask_ahead(&mut self) {
        if self.ready.is_none() {
            self.ready = self.next().now_or_never();
        }
    }

    /// The server's next answer: empty after [`AWAIT`]. Dropping it loses nothing: the
    /// cursor keeps the request that is under way. A cursor that was lost with its
    /// connection or its primary is replaced once, by one that goes on behind what came.
    ///
    /// # Errors
    /// [`TailError`]; afterwards the stream must be opened anew.
    pub async fn next(&mut self) -> Result<Answer, TailError> {
        if let Some(ready) = self.ready.take() {
            return ready;
        }
        loop {
            if let Some(reopening) = &mut self.reopening {
                let opened = reopening.await;
                self.reopening = None;
                self.cursor = opened?;
            }
            match self.cursor.next().await {
                Some(Ok(answer)) => {
                    let answer = Answer::try_from(answer)?;
                    self.reopened = false;
                    self.after = answer.end.clone().or(self.after.take());
                    return Ok(answer);
                }
                Some(Err(error)) => self.reopen(error)?,
                None => return Err(TailError::closed()),
            }
        }
    }

    fn reopen(&mut self, error: Error) -> Result<(), TailError> {
        let Some(after) = self.after.clone().filter(|_| !self.reopened && is_resumable(&error))
        else {
            return Err(error.into());
        };
        tracing::debug!(%error, "the change stream's cursor is gone: opening another one");
        let (outbox, shard) = (self.outbox.clone(), self.shard);
        self.reopened = true;
        self.reopening = Some(async move { cursor(&outbox, shard, Some(&after)).await }.boxed());
        Ok(())
    }
}

async fn cursor(
    outbox: &Collection<RawDocumentBuf>,
    shard: Shard,
    from: Option<&Position>,
) -> Result<RawBatchCursor, Error> {
    let mut stream = Document::new();
    if let Some(position) = from {
        stream.insert("startAfter", position.token.clone());
    }
    let pipeline = [doc! { "$changeStream": stream }, doc! { "$match": wanted(shard) }];
    outbox.aggregate(pipeline).max_await_time(AWAIT).batch_size(ANSWER).batch().await
}

/// Deletions (the purge) are of no interest; the end of the collection is, to every shard.
fn wanted(shard: Shard) -> Document {
    let mut wanted = doc! { "operationType": { "$nin": ["delete", "update", "replace"] } };
    if shard != Shard::WHOLE {
        let ours = shard.filter("fullDocument.entity_id");
        wanted.insert("$or", vec![doc! { "operationType": { "$ne": "insert" } }, ours]);
    }
    wanted
}

/// What the driver's change streams go on after (the specification "Change Streams",
/// Resumable Error): the cursor is gone, the place in the stream is not.
fn is_resumable(error: &Error) -> bool {
    const CURSOR_NOT_FOUND: i32 = 43;
    matches!(error.kind.as_ref(), ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. })
        || error.contains_label("ResumableChangeStreamError")
        || command_code(error) == Some(CURSOR_NOT_FOUND)
}

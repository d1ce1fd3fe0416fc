//! The change stream on the outbox, as raw documents.

use std::time::Duration;

use bson::{RawDocumentBuf, doc};
use futures::FutureExt;
use mongodb::change_stream::ChangeStream;
use mongodb::error::Error;
use shared::{Shard, Timestamp};

use crate::Relay;
use crate::batch::{Batch, Event, Limits};
use crate::position::{ClusterTime, Position, UnreadableToken};
use crate::source::{command_code, plain};

/// How long the server waits for an event before it says that there is none. An idle
/// relay's lag grows to twice this between two proofs of idleness. And only such a proof
/// says that nothing else was committed together with the last event: whoever waits for
/// that event's watermark waits for it.
const AWAIT: Duration = Duration::from_millis(50);
/// A read that takes this long is not slow: the connection is gone and nobody said so.
const SILENCE: Duration = Duration::from_secs(10);

/// Most events in one answer of the server: the driver holds it twice for a moment.
const ANSWER: u32 = 500;

#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The place in the stream is gone: only a sweep of the collection helps.
    #[error("the position is lost ({reason}): {detail}")]
    Lost { reason: &'static str, detail: String },
    #[error("{}", plain(.0))]
    Mongo(Error),
    #[error("no answer from the change stream in {SILENCE:?}")]
    Silent,
    #[error(transparent)]
    Token(#[from] UnreadableToken),
}

impl From<Error> for TailError {
    fn from(error: Error) -> Self {
        match command_code(&error).and_then(lost_reason) {
            Some(reason) => Self::Lost { reason, detail: plain(&error) },
            None => Self::Mongo(error),
        }
    }
}

/// Why a place in the stream was given up, as this file says it.
pub const LOST_REASONS: [&str; 7] = [
    "history_lost",
    "not_found",
    "invalid_token",
    "malformed_token",
    "refused_token",
    "no_token",
    "invalidated",
];

/// The codes with which MongoDB says that a resume token is of no use any more.
fn lost_reason(code: i32) -> Option<&'static str> {
    match code {
        286 => Some("history_lost"),
        280 => Some("not_found"),
        260 => Some("invalid_token"),
        9 | 15 | 40647 => Some("malformed_token"),
        _ => None,
    }
}

/// An answer of the server that is no passing trouble of its own.
fn is_refusal(error: &Error) -> bool {
    command_code(error).is_some()
        && !error.contains_label("RetryableReadError")
        && !error.contains_label("ResumableChangeStreamError")
}

/// What one read found.
#[derive(Debug)]
pub enum Read {
    /// Events were added to the batch.
    Events,
    /// Nothing was there. Everything committed before `asked_at` lies before `position`.
    Idle { asked_at: Timestamp, position: Position },
}

pub struct Tail {
    stream: ChangeStream<RawDocumentBuf>,
    /// When the previous read was over: the next one asks the server no earlier.
    asked_at: Timestamp,
}

impl Tail {
    /// After `from`, or from now on.
    ///
    /// # Errors
    /// [`TailError::Lost`] where the server no longer reaches back to `from`.
    pub async fn open(relay: &Relay, from: Option<&Position>) -> Result<Self, TailError> {
        match Self::open_for(relay, relay.shard, from).await {
            // There are more codes for a token that is none than anybody lists. If it goes
            // without the token, the token it was.
            Err(TailError::Mongo(error)) if from.is_some() && is_refusal(&error) => {
                Self::open_for(relay, relay.shard, None).await?;
                Err(lost("refused_token", &plain(&error)))
            }
            opened => opened,
        }
    }

    /// The events of all shards.
    ///
    /// # Errors
    /// As [`Tail::open`].
    pub async fn open_whole(relay: &Relay, from: Option<&Position>) -> Result<Self, TailError> {
        Self::open_for(relay, Shard::WHOLE, from).await
    }

    async fn open_for(
        relay: &Relay,
        shard: Shard,
        from: Option<&Position>,
    ) -> Result<Self, TailError> {
        // Deletions (the purge) are of no interest; the end of the collection is.
        let mut wanted = doc! { "operationType": { "$nin": ["delete", "update", "replace"] } };
        if shard != Shard::WHOLE {
            // The end of the collection concerns every shard.
            let ours = shard.filter("fullDocument.entity_id");
            wanted.insert("$or", vec![doc! { "operationType": { "$ne": "insert" } }, ours]);
        }
        let pipeline = [doc! { "$match": wanted }];
        let mut watch = relay.source.outbox.watch().pipeline(pipeline);
        if let Some(position) = from {
            watch = watch.start_after(position.resume_token()?);
        }
        let asked_at = Timestamp::now();
        let opened = watch.max_await_time(AWAIT).batch_size(ANSWER).await;
        let stream = opened.map_err(TailError::from)?.with_type();
        Ok(Self { stream, asked_at })
    }

    /// A place near the beginning of a stream that was just opened: whatever lies between
    /// the two is in the collection by now.
    ///
    /// # Errors
    /// [`TailError`].
    pub async fn beginning(mut self) -> Result<Position, TailError> {
        if let Some(token) = self.stream.resume_token() {
            return Ok(Position::of_token(&token)?);
        }
        // On a busy outbox the server's first answer already brings events, and then it
        // names no place before them. Behind the first of them is as good.
        let mut first = Batch::new(Limits { events: 1, bytes: 1 });
        match (self.read(&mut first).await?, first.last()) {
            (Read::Events, Some(Event::Streamed(change))) => Ok(position(change)?.0),
            (Read::Idle { position, .. }, _) => Ok(position),
            (Read::Events, _) => Err(lost("no_token", "an event without a resume token")),
        }
    }

    /// Waits for events, at most [`AWAIT`] or so, then takes along whatever is already
    /// here, until `batch` is full. Adds to the batch only what it has wholly read, so
    /// that it can be dropped at any point.
    ///
    /// A dropped `next_if_any` loses nothing: the driver (3.9) keeps the request that is
    /// under way inside the cursor, and the next call goes on with it. Only
    /// `resume_token` must not be called meanwhile; here it follows a finished read.
    ///
    /// # Errors
    /// [`TailError`]; afterwards the tail must be opened anew.
    pub async fn read(&mut self, batch: &mut Batch) -> Result<Read, TailError> {
        let deadline = tokio::time::timeout(SILENCE, self.stream.next_if_any());
        let Some(first) = deadline.await.map_err(|_| TailError::Silent)?? else {
            return self.idle();
        };
        batch.push(insert(first)?);
        while !batch.is_full() {
            match self.stream.next_if_any().now_or_never() {
                Some(Ok(Some(next))) => batch.push(insert(next)?),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(None)) | None => break,
            }
        }
        self.asked_at = Timestamp::now();
        Ok(Read::Events)
    }

    /// Whether there is an event no later than `until`.
    ///
    /// # Errors
    /// As [`Tail::read`].
    pub async fn has_events_until(&mut self, until: ClusterTime) -> Result<bool, TailError> {
        loop {
            let mut one = Batch::new(Limits { events: 1, bytes: 1 });
            match self.read(&mut one).await? {
                Read::Idle { position, .. } if position.time >= until => return Ok(false),
                Read::Idle { .. } => {}
                Read::Events => match one.last() {
                    Some(Event::Streamed(change)) => return Ok(position(change)?.0.time <= until),
                    _ => return Ok(false),
                },
            }
        }
    }

    fn idle(&mut self) -> Result<Read, TailError> {
        if !self.stream.is_alive() {
            return Err(lost("invalidated", "the stream was closed by the server"));
        }
        let token = self.stream.resume_token();
        let token = token.ok_or_else(|| lost("no_token", "an idle read told no resume token"))?;
        let asked_at = std::mem::replace(&mut self.asked_at, Timestamp::now());
        Ok(Read::Idle { asked_at, position: Position::of_token(&token)? })
    }
}

fn lost(reason: &'static str, detail: &str) -> TailError {
    TailError::Lost { reason, detail: detail.to_owned() }
}

/// Takes inserts only. The collection being dropped, renamed or gone with its database
/// ends this stream: what comes after has another identity.
fn insert(change: RawDocumentBuf) -> Result<Event, TailError> {
    match change.get_str("operationType") {
        Ok("insert") => Ok(Event::Streamed(change)),
        Ok(operation) => Err(lost("invalidated", operation)),
        Err(error) => Err(lost("invalidated", &error.to_string())),
    }
}

/// Position and commit time of a streamed event.
///
/// # Errors
/// Where the change event lacks its token, which no MongoDB does.
pub fn position(change: &RawDocumentBuf) -> Result<(Position, Option<Timestamp>), UnreadableToken> {
    let token = change.get_document("_id").unwrap_or(change);
    let mut position = Position::try_from(token)?;
    if let Ok(time) = change.get_timestamp("clusterTime") {
        position.time = ClusterTime::from(time);
    }
    // Since MongoDB 6.0; before, only the second is known.
    let millis = match change.get_datetime("wallTime") {
        Ok(time) => time.timestamp_millis(),
        Err(_) => i64::from(position.time.seconds) * 1000,
    };
    Ok((position, Timestamp::from_millis(millis)))
}

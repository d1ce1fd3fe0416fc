//! The change stream on the outbox, as events.

use std::time::Duration;

use futures::FutureExt;
use mongodb::error::Error;
use shared::{Shard, Timestamp};

use crate::Relay;
use crate::batch::{Batch, Event, Limits};
use crate::change::{Answer, Change, MalformedAnswer};
use crate::change_stream::{ANSWER, ChangeStream};
use crate::position::{ClusterTime, Position};
use crate::source::{command_code, plain};

/// A read that takes this long is not slow: the connection is gone and nobody said so.
const SILENCE: Duration = Duration::from_secs(10);

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
    Malformed(#[from] MalformedAnswer),
}

impl TailError {
    fn lost(reason: &'static str, detail: &str) -> Self {
        Self::Lost { reason, detail: detail.to_owned() }
    }

    /// The server has ended the stream: what comes after has another identity.
    pub fn closed() -> Self {
        Self::lost("invalidated", "the stream was closed by the server")
    }
}

impl From<Error> for TailError {
    fn from(error: Error) -> Self {
        match command_code(&error).and_then(lost_reason) {
            Some(reason) => Self::Lost { reason, detail: plain(&error) },
            None => Self::Mongo(error),
        }
    }
}

/// The oplog reaches back to the position, but does not hold its event.
pub const NOT_FOUND: &str = "not_found";

/// Why a place in the stream was given up, as this file says it.
pub const LOST_REASONS: [&str; 7] = [
    "history_lost",
    NOT_FOUND,
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
        280 => Some(NOT_FOUND),
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
    stream: ChangeStream,
    /// Brought, and not yet taken.
    changes: std::vec::IntoIter<Change>,
    /// When the answer before was here: the next one was asked for no earlier.
    asked_at: Timestamp,
    /// Whether the next answer is asked for as soon as one has brought events, full or not.
    is_eager: bool,
    /// The next answer is asked for: the last one was full, or this tail is eager.
    asks_ahead: bool,
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
                Err(TailError::lost("refused_token", &plain(&error)))
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
        let asked_at = Timestamp::now();
        let stream = ChangeStream::open(&relay.source.outbox, shard, from).await?;
        let is_eager = relay.config.transaction_interval().is_zero();
        Ok(Self { stream, changes: Vec::new().into_iter(), asked_at, is_eager, asks_ahead: false })
    }

    /// A place near the beginning of a stream that was just opened: whatever lies between
    /// the two is in the collection by now.
    ///
    /// # Errors
    /// [`TailError`].
    pub async fn beginning(mut self) -> Result<Position, TailError> {
        // On a busy outbox the server's first answer may already bring events. Behind the
        // first of them is as good.
        let mut first = Batch::new(Limits { events: 1, bytes: 1 });
        match (self.read(&mut first).await?, first.last()) {
            (Read::Events, Some(Event::Streamed(change))) => Ok(change.position()?),
            (Read::Idle { position, .. }, _) => Ok(position),
            (Read::Events, _) => Err(TailError::lost("no_token", "an event that is none")),
        }
    }

    /// Waits for events, but not for long, then takes along whatever is already here,
    /// until `batch` is full. Adds to the batch only what it has wholly read, so that it
    /// can be dropped at any point and loses nothing.
    ///
    /// # Errors
    /// [`TailError`]; afterwards the tail must be opened anew.
    pub async fn read(&mut self, batch: &mut Batch) -> Result<Read, TailError> {
        if self.changes.len() == 0 {
            let answer = tokio::time::timeout(SILENCE, self.stream.next()).await;
            let answer = answer.map_err(|_| TailError::Silent)??;
            if let Some(idle) = self.accept(answer)? {
                return Ok(idle);
            }
        }
        loop {
            while !batch.is_full()
                && let Some(change) = self.changes.next()
            {
                batch.push(insert(change)?);
            }
            if batch.is_full() || !self.asks_ahead {
                return Ok(Read::Events);
            }
            match self.stream.next().now_or_never() {
                // That there is nothing more says little while these are on their way.
                Some(answer) => drop(self.accept(answer?)?),
                None => return Ok(Read::Events),
            }
        }
    }

    /// Asks for more at once where there is some, or may be; else says how far the stream
    /// has come.
    fn accept(&mut self, answer: Answer) -> Result<Option<Read>, TailError> {
        let asked_at = std::mem::replace(&mut self.asked_at, Timestamp::now());
        if answer.changes.len() > 0 {
            self.asks_ahead = self.is_eager || answer.changes.len() >= ANSWER as usize;
            self.changes = answer.changes;
            if self.asks_ahead {
                self.stream.ask_ahead();
            }
            return Ok(None);
        }
        self.asks_ahead = self.is_eager;
        let position = answer.end;
        let position =
            position.ok_or_else(|| TailError::lost("no_token", "no resume token when idle"))?;
        Ok(Some(Read::Idle { asked_at, position }))
    }

    /// Whether more is to be had at once, as far as the last answer tells.
    pub fn asks_ahead(&self) -> bool {
        self.asks_ahead
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
                    Some(Event::Streamed(change)) => return Ok(change.position()?.time <= until),
                    _ => return Ok(false),
                },
            }
        }
    }
}

/// Takes inserts only. The collection being dropped, renamed or gone with its database
/// ends this stream.
fn insert(change: Change) -> Result<Event, TailError> {
    match change.operation() {
        Some("insert") => Ok(Event::Streamed(change)),
        Some(operation) => Err(TailError::lost("invalidated", operation)),
        None => Err(TailError::lost("invalidated", "an event without operationType")),
    }
}

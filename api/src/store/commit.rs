use std::sync::Arc;
use std::time::Duration;

use shared::Id;
use shared::document::Document;
use shared::process::RetryPolicy;
use tokio::time::Instant;

use super::{Cause, CommitError, Committed, Store, Write};
use crate::http::ApiError;

/// Between two attempts at a document that somebody else changes too.
const CONTENTION: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(2), max: Duration::from_millis(100) };

/// Why one attempt at a write did not succeed.
#[derive(Debug)]
pub enum Attempt {
    /// What it was made from has changed: make it again.
    Stale,
    Refused(ApiError),
}

impl From<ApiError> for Attempt {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<CommitError> for Attempt {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale => Self::Stale,
            other => Self::Refused(other.into()),
        }
    }
}

impl Store {
    /// Commits a write whole or not at all, documents and events together, with
    /// write concern majority. Write conflicts and lost answers are retried inside,
    /// for at most the configured time.
    ///
    /// The transaction goes on when the caller stops waiting: a client that hangs
    /// up cannot leave it half done.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, write: Write) -> Result<Committed, CommitError> {
        let event = write.events.first();
        let event = event.ok_or_else(|| CommitError::internal("a write without event"))?;
        let committed = Committed { event_id: event.event_id, version: event.version };
        let outcome = self.committing.commit(Arc::new(write)).await;
        if let Err(error) = &outcome {
            self.metrics.commit_failures.with_label_values(&[error.reason()]).inc();
        }
        outcome.map(|()| committed)
    }

    /// Reads a document, lets `change` turn it into a write, and commits that; from
    /// the start again where somebody else was faster.
    ///
    /// `change` gets the document with the version and `updated_at` that it will
    /// have, and decides alone on what it is given: it may run several times.
    ///
    /// # Errors
    /// NotFound where there is no such document, VersionConflict where the caller named
    /// another version, what `change` refuses, and what
    /// [`Store::commit`] fails with.
    pub async fn change<D: Document>(
        &self,
        cause: &Cause,
        id: Id,
        change: impl Fn(&mut D, &mut Write) -> Result<(), ApiError>,
    ) -> Result<(D, Committed), ApiError> {
        let change = &change;
        let attempt = || async move {
            let mut document: D = self.get(id).await?;
            let current = cause.expected.check(document.version());
            let mut write = Write::new(cause);
            document.advance(write.moment);
            match change(&mut document, &mut write) {
                // What the state forbids may be allowed in the version that was meant.
                Ok(()) | Err(ApiError::StateConflict(_)) if current.is_err() => current?,
                allowed => allowed?,
            }
            let committed = self.commit(write).await?;
            Ok((document, committed))
        };
        self.until_current(attempt).await
    }

    /// Makes a write from what is there now, again and again while it turns out to
    /// be [`Attempt::Stale`], until the configured time is up.
    ///
    /// # Errors
    /// What the attempt is refused with; Contended where all were stale.
    pub async fn until_current<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, Attempt>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut waits = CONTENTION.waits();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(Attempt::Refused(error)) => return Err(error),
                Err(Attempt::Stale) => {}
            }
            let next = Instant::now() + waits.next().unwrap_or(CONTENTION.max);
            if next > deadline {
                return Err(ApiError::Contended);
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

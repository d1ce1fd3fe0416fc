use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::error::{Error, Result};
use mongodb::options::WriteConcern;
use shared::Id;
use shared::document::Document;
use shared::process::RetryPolicy;
use tokio::time::Instant;

use super::error::PreconditionFailed;
use super::write::{Action, Operation};
use super::{Cause, CommitError, Committed, Store, Write};
use crate::http::ApiError;

/// Between two attempts at a document that somebody else changes too.
const CONTENTION: RetryPolicy = RetryPolicy {
    initial: Duration::from_millis(2),
    max: Duration::from_millis(100),
};

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
    pub async fn commit(&self, write: Write) -> std::result::Result<Committed, CommitError> {
        let event = write.events.first();
        let event = event.ok_or_else(|| CommitError::internal("a write without event"))?;
        let committed = Committed {
            event_id: event.event_id,
            version: event.version,
        };
        let store = self.clone();
        let transaction = tokio::spawn(async move {
            let _timer = store.metrics.commit_seconds.start_timer();
            store.run_within_time(write).await
        });
        let outcome = transaction.await.map_err(CommitError::internal)?;
        if let Err(error) = &outcome {
            self.metrics
                .commit_failures
                .with_label_values(&[error.reason()])
                .inc();
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
        change: impl Fn(&mut D, &mut Write) -> std::result::Result<(), ApiError>,
    ) -> std::result::Result<(D, Committed), ApiError> {
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
    /// What the attempt is refused with; Unavailable where all were stale.
    pub async fn until_current<T, F>(
        &self,
        attempt: impl Fn() -> F,
    ) -> std::result::Result<T, ApiError>
    where
        F: Future<Output = std::result::Result<T, Attempt>>,
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
                return Err(ApiError::Unavailable {
                    outcome_unknown: false,
                });
            }
            tokio::time::sleep_until(next).await;
        }
    }

    async fn run_within_time(&self, write: Write) -> std::result::Result<(), CommitError> {
        let committing = Arc::new(AtomicBool::new(false));
        let run = self.run(write, committing.clone());
        match tokio::time::timeout(self.timeout, run).await {
            Ok(outcome) => outcome.map_err(|error| match CommitError::from(error) {
                CommitError::Unavailable { source, .. } => CommitError::Unavailable {
                    outcome_unknown: committing.load(Ordering::Relaxed),
                    source,
                },
                other => other,
            }),
            Err(_) => Err(CommitError::Unavailable {
                outcome_unknown: committing.load(Ordering::Relaxed),
                source: None,
            }),
        }
    }

    /// `committing` tells whether the last thing sent was the commit: if no answer
    /// comes then, it may have happened.
    async fn run(&self, write: Write, committing: Arc<AtomicBool>) -> Result<()> {
        let mut session = self.client.start_session().await?;
        session
            .start_transaction()
            .write_concern(WriteConcern::majority())
            .and_run(
                (self, write, committing),
                |session, (store, write, committing)| {
                    Box::pin(async move {
                        committing.store(false, Ordering::Relaxed);
                        store.apply(session, write).await?;
                        committing.store(true, Ordering::Relaxed);
                        Ok(())
                    })
                },
            )
            .await
    }

    /// The body of the transaction. Errors of the driver go back to it unchanged:
    /// it tells by them whether the server has aborted.
    async fn apply(&self, session: &mut ClientSession, write: &Write) -> Result<()> {
        for operation in &write.operations {
            self.perform(session, operation).await?;
        }
        let events = write.events.iter().map(|event| event.to_bson());
        self.outbox().insert_many(events).session(session).await?;
        Ok(())
    }

    async fn perform(&self, session: &mut ClientSession, operation: &Operation) -> Result<()> {
        let documents = self.collection(operation.collection);
        let held = match &operation.action {
            Action::Insert(document) => {
                documents.insert_one(document).session(session).await?;
                true
            }
            Action::Update { filter, update } => {
                let result = documents
                    .update_one(filter.clone(), update.clone())
                    .session(session)
                    .await?;
                result.matched_count == 1
            }
            Action::UpdateIfPresent { filter, update } => {
                documents
                    .update_one(filter.clone(), update.clone())
                    .session(session)
                    .await?;
                true
            }
            Action::Remove { filter } => {
                let result = documents
                    .delete_one(filter.clone())
                    .session(session)
                    .await?;
                result.deleted_count == 1
            }
        };
        if held {
            Ok(())
        } else {
            Err(Error::custom(PreconditionFailed))
        }
    }
}

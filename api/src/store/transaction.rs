//! One MongoDB transaction for any number of writes: one command for all inserts
//! into a collection, one for all its updates, one for all its removals, one for all
//! events; several where one would be too large.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::error::{PreconditionFailed, StatementFailed};
use super::write::{Action, Operation};
use super::{CommitError, Write};
use mongodb::bson::raw::CStr;
use mongodb::bson::{self, Document as Fields, RawArrayBuf, RawDocumentBuf, cstr, doc};
use mongodb::error::{Error, Result};
use mongodb::options::WriteConcern;
use mongodb::{Client, ClientSession, Database};
use prometheus::IntCounter;

/// Runs transactions on one database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transactions {
    pub client: Client,
    pub database: Database,
    pub retries: IntCounter,
}

impl Transactions {
    /// Commits all of `writes` or none. Write conflicts and lost answers are retried
    /// inside, for at most `time`.
    ///
    /// # Errors
    /// [`CommitError`]; with more than one write it does not say which is to blame.
    pub async fn commit(
        &self,
        writes: &[Arc<Write>],
        time: Duration,
    ) -> std::result::Result<(), CommitError> {
        let committing = Arc::new(AtomicBool::new(false));
        let outcome = tokio::time::timeout(time, self.run(writes, committing.clone())).await;
        let outcome_unknown = || committing.load(Ordering::Relaxed);
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(match CommitError::from(error) {
                CommitError::Unavailable { source, .. } => {
                    CommitError::Unavailable { outcome_unknown: outcome_unknown(), source }
                }
                other => other,
            }),
            Err(_) => {
                Err(CommitError::Unavailable { outcome_unknown: outcome_unknown(), source: None })
            }
        }
    }

    /// `committing` tells whether the last thing sent was the commit: if no answer
    /// comes then, it may have happened.
    async fn run(&self, writes: &[Arc<Write>], committing: Arc<AtomicBool>) -> Result<()> {
        let mut session = self.client.start_session().await?;
        session
            .start_transaction()
            .write_concern(WriteConcern::majority())
            .and_run((self, writes, committing, false), |session, context| {
                let (engine, writes, committing, begun) = context;
                Box::pin(async move {
                    // The driver runs this again until the transaction is through.
                    if std::mem::replace(begun, true) {
                        engine.retries.inc();
                    }
                    committing.store(false, Ordering::Relaxed);
                    engine.apply(session, writes).await?;
                    committing.store(true, Ordering::Relaxed);
                    Ok(())
                })
            })
            .await
    }

    /// The body of the transaction. Errors of the driver go back to it unchanged:
    /// it tells by them whether the server has aborted.
    async fn apply(&self, session: &mut ClientSession, writes: &[Arc<Write>]) -> Result<()> {
        let operations = || writes.iter().flat_map(|write| &write.operations);
        for collection in collections(operations()) {
            let here = || operations().filter(|operation| operation.collection == collection);
            self.insert(session, collection, here()).await?;
            self.update(session, collection, here()).await?;
            self.remove(session, collection, here()).await?;
        }
        let events = writes.iter().flat_map(|write| &write.events).map(|event| event.to_bson());
        let outbox = self.database.collection::<RawDocumentBuf>(shared::outbox::COLLECTION);
        outbox.insert_many(events).session(session).await?;
        Ok(())
    }

    async fn insert(
        &self,
        session: &mut ClientSession,
        collection: &str,
        operations: impl Iterator<Item = &Operation>,
    ) -> Result<()> {
        let documents: Vec<_> = operations
            .filter_map(|operation| match &operation.action {
                Action::Insert(document) => Some(document),
                _ => None,
            })
            .collect();
        if documents.is_empty() {
            return Ok(());
        }
        let collection = self.database.collection::<RawDocumentBuf>(collection);
        collection.insert_many(documents).session(session).await?;
        Ok(())
    }

    /// One command for all updates. Its answer tells how many matched, not which: the
    /// ones that must match go apart from those that may not.
    async fn update(
        &self,
        session: &mut ClientSession,
        collection: &str,
        operations: impl Iterator<Item = &Operation>,
    ) -> Result<()> {
        let (mut required, mut optional) = (Vec::new(), Vec::new());
        for operation in operations {
            match &operation.action {
                Action::Update { filter, update } => {
                    required.push(doc! { "q": filter.clone(), "u": update.clone() });
                }
                Action::UpdateIfPresent { filter, update } => {
                    optional.push(doc! { "q": filter.clone(), "u": update.clone() });
                }
                Action::Insert(_) | Action::Remove { .. } => {}
            }
        }
        let expected = required.len();
        let matched = self
            .write_command(session, cstr!("update"), cstr!("updates"), collection, required)
            .await?;
        if matched != expected {
            return Err(Error::custom(PreconditionFailed));
        }
        self.write_command(session, cstr!("update"), cstr!("updates"), collection, optional)
            .await?;
        Ok(())
    }

    async fn remove(
        &self,
        session: &mut ClientSession,
        collection: &str,
        operations: impl Iterator<Item = &Operation>,
    ) -> Result<()> {
        let removals: Vec<_> = operations
            .filter_map(|operation| match &operation.action {
                Action::Remove { filter } => Some(doc! { "q": filter.clone(), "limit": 1 }),
                _ => None,
            })
            .collect();
        let expected = removals.len();
        let removed = self
            .write_command(session, cstr!("delete"), cstr!("deletes"), collection, removals)
            .await?;
        if removed == expected { Ok(()) } else { Err(Error::custom(PreconditionFailed)) }
    }

    /// An `update` or `delete` command, or as many as it takes; returns how many documents
    /// they matched.
    async fn write_command(
        &self,
        session: &mut ClientSession,
        command: &CStr,
        statements_key: &CStr,
        collection: &str,
        statements: Vec<Fields>,
    ) -> Result<usize> {
        let statements = statements.iter().map(RawDocumentBuf::try_from);
        let mut all_matched = 0;
        for statements in portions(statements.collect::<bson::error::Result<_>>()?) {
            let mut wanted = RawDocumentBuf::new();
            wanted.append(command, collection);
            wanted.append(statements_key, RawArrayBuf::from_iter(statements));
            wanted.append(cstr!("ordered"), true);
            let answer = self.database.run_raw_command(wanted).session(&mut *session).await?;
            if let Ok([failure, ..]) = answer.get_array("writeErrors").map(Vec::as_slice) {
                return Err(Error::custom(StatementFailed::from(failure)));
            }
            let matched = answer.get_i32("n").unwrap_or_default();
            all_matched += usize::try_from(matched).unwrap_or_default();
        }
        Ok(all_matched)
    }
}

/// Most bytes of statements in one command, unless one alone has more: MongoDB takes 16 MiB.
/// A supplier's many products come to more.
const COMMAND_BYTES: usize = 12 << 20;

/// In their order.
fn portions(statements: Vec<RawDocumentBuf>) -> Vec<Vec<RawDocumentBuf>> {
    let mut portions: Vec<Vec<RawDocumentBuf>> = Vec::new();
    let mut bytes = 0;
    for statement in statements {
        let more = statement.as_bytes().len();
        match portions.last_mut() {
            Some(portion) if bytes + more <= COMMAND_BYTES => portion.push(statement),
            _ => {
                bytes = 0;
                portions.push(vec![statement]);
            }
        }
        bytes += more;
    }
    portions
}

/// Each collection once, in the order in which the writes first name them: a write
/// that is repeated meets its idempotency key before anything else.
fn collections<'a>(operations: impl Iterator<Item = &'a Operation>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for operation in operations {
        if !names.contains(&operation.collection) {
            names.push(operation.collection);
        }
    }
    names
}

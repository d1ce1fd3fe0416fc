//! Rows rebuilt from documents, for the operator's tools: [`apply`] with what only a
//! document can say.
//!
//! An event says what happened at one version. A document says more: it is there, so a
//! deletion that somebody inferred from its absence is void; and it is what its version
//! stands for, so a row of the same version can be written again.

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures::stream;
use shared::event::Domain;

use crate::apply::{Applied, apply};
use crate::database::{Connection, Writer};
use crate::decode::{Change, Content};
use crate::plan::Writes;
use crate::refusal::{ApplyError, classify};
use crate::tables::{Shown, TombstoneRow, lower_rank};

/// The event_id of rows and tombstones that come from a document, or from its absence:
/// which event wrote it last, a document does not say.
pub const NO_EVENT: &str = "00000000-0000-0000-0000-000000000000";

/// What becomes of a row that has the version of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameVersion {
    Keep,
    /// It is written again, with its children, and keeps its event.
    Refill,
}

/// Writes `changes`, all of one domain, in one transaction.
///
/// # Errors
/// As [`apply`].
pub async fn rebuild(
    writer: &mut Writer,
    domain: Domain,
    mut changes: Vec<Change>,
    same_version: SameVersion,
) -> Result<Applied, ApplyError> {
    let connection = &mut writer.connection;
    if let Err(error) = make_way(connection, domain, &mut changes, same_version).await {
        let error = classify(connection, domain.collection(), &error).await;
        return match connection.batch_execute("ROLLBACK").await {
            Ok(()) => Err(error),
            Err(lost) => Err(ApplyError::Away(lost.to_string())),
        };
    }
    apply(writer, stream::iter([Writes::of(changes)]), &[]).await
}

/// Opens the transaction: afterwards the guards let pass what is to be written.
async fn make_way(
    connection: &mut Connection,
    domain: Domain,
    changes: &mut [Change],
    same_version: SameVersion,
) -> QueryResult<()> {
    let documents: Vec<&mut Change> = changes
        .iter_mut()
        .filter(|change| !matches!(change.content, Content::Deleted(_)))
        .collect();
    if documents.is_empty() {
        return Ok(());
    }
    let present: Vec<(String, i64)> =
        documents.iter().map(|it| (it.entity.to_string(), it.stamp.version)).collect();
    TombstoneRow::forget_inferred(connection, domain, NO_EVENT, &present).await?;
    match same_version {
        SameVersion::Keep => Ok(()),
        SameVersion::Refill => lower_equals(connection, domain, documents).await,
    }
}

/// Lowers the rank of the rows that have the version of their document, so that the guard
/// lets it pass. The rows are locked until the commit, so nobody sees them like that.
///
/// Version 0 is left out: it stands for no single content.
async fn lower_equals(
    connection: &mut Connection,
    domain: Domain,
    documents: Vec<&mut Change>,
) -> QueryResult<()> {
    let ids: Vec<String> = documents.iter().map(|change| change.entity.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let shown = Shown::locked(connection, domain, &ids).await?;
    let mut equal = Vec::new();
    for (id, change) in ids.iter().zip(documents) {
        let same = |it: &&Shown| it.id == *id && it.version == change.stamp.version;
        if let Some(shown) = shown.iter().find(same).filter(|it| it.version > 0) {
            change.stamp.event_id.clone_from(&shown.event_id);
            change.stamp.event_timestamp = shown.event_timestamp;
            equal.push(*id);
        }
    }
    lower_rank(connection, domain, &equal).await
}

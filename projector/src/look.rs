//! The look for tombstones after a table's rows are written, and what follows from it.

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::SimpleAsyncConnection;
use shared::event::Domain;

use crate::database::Connection;
use crate::plan::Writes;
use crate::tables::{ProgressRow, Root, Statement, TombstoneRow};
use crate::write::{Failed, Written, late_documents, write};

/// So many entities are looked for along with the commit. The statement is text, which
/// MySQL reads anew each time.
const FEW: usize = 8;

/// A table is written; the tombstones of all that it touched are still to be looked for.
pub(crate) struct Look<'a> {
    domain: Domain,
    /// Every entity of which this transaction wrote a row or a tombstone.
    touched: Vec<&'a str>,
    /// A tombstone of one of them was written before: something will be found.
    is_stated: bool,
    written: Written<'a>,
}

impl<'a> Look<'a> {
    pub(crate) fn after<R: Root>(writes: &'a Writes, rows: &'a [R], written: Written<'a>) -> Self {
        let stated = writes.stated(R::DOMAIN);
        let is_stated = !stated.is_empty();
        let mut touched: Vec<_> = rows.iter().map(Root::id).chain(stated).collect();
        touched.sort_unstable();
        touched.dedup();
        Self { domain: R::DOMAIN, touched, is_stated, written }
    }

    /// How many rows were refused, as long as no tombstone is found.
    pub(crate) fn stale(&self) -> u64 {
        self.written.stale
    }

    /// Looks, and lets the tombstones have what is theirs. Returns what remains of the rows.
    pub(crate) async fn take(
        self,
        connection: &mut Connection,
        writes: &'a Writes,
    ) -> Result<Written<'a>, Failed> {
        let Self { domain, touched, written, .. } = self;
        let found = TombstoneRow::locked(connection, domain, &touched).await?;
        if found.is_empty() {
            return Ok(written);
        }
        match domain {
            Domain::Supplier | Domain::Product => {
                let dead: Vec<_> = found.iter().map(|found| found.entity_id.as_str()).collect();
                TombstoneRow::bury(connection, domain, &dead).await?;
                Ok(written)
            }
            Domain::User => {
                lay(connection, Statement::USER_DELETED, &found, &writes.users, written).await
            }
            Domain::Order => {
                lay(connection, Statement::ORDER_CANCELLED, &found, &writes.orders, written).await
            }
            Domain::Post => {
                lay(connection, Statement::POST_DELETED, &found, &writes.posts, written).await
            }
        }
    }

    /// Looks and, where there is nothing to be found, writes `progress` and commits: all in
    /// one text, which saves a lone row a round trip. False where the look is still to be
    /// taken, and the transaction goes on.
    pub(crate) async fn commit(
        &self,
        connection: &mut Connection,
        progress: &[ProgressRow],
    ) -> Result<bool, Error> {
        if self.is_stated || self.touched.len() > FEW {
            return Ok(false);
        }
        let text = format!(
            "{}; {}",
            TombstoneRow::none_of(self.domain, &self.touched),
            ProgressRow::commit(progress)
        );
        match connection.batch_execute(&text).await {
            Ok(()) => Ok(true),
            // The first statement's own; the server has not gone on to those after it.
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A table whose rows stay when a statement comes: it is laid over them.
async fn lay<'a, R: Root>(
    connection: &mut Connection,
    statement: Statement,
    tombstones: &[TombstoneRow],
    rows: &'a [R],
    mut written: Written<'a>,
) -> Result<Written<'a>, Failed> {
    let late = late_documents(tombstones, rows, &written.passed);
    if !late.is_empty() {
        let ids: Vec<_> = late.iter().map(Root::id).collect();
        statement.lift(connection, &ids).await?;
        let lifted = write(connection, &late).await?.passed;
        written.stale = written.stale.saturating_sub(lifted.len() as u64);
        written.passed.extend(rows.iter().map(Root::id).filter(|id| lifted.contains(id)));
    }
    let stated: Vec<_> = tombstones.iter().map(|tombstone| tombstone.entity_id.as_str()).collect();
    statement.lay(connection, &stated).await?;
    Ok(written)
}

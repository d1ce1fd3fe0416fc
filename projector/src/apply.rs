//! A batch's writes become one MySQL transaction.
//!
//! The order of its statements is part of the guarantee:
//! 1. tombstones of this batch;
//! 2. table by table, parents first: rows under their guard, then their children;
//! 3. per table, after its rows: the tombstones of all it touched, as others have
//!    committed them by now, and what follows from those;
//! 4. progress, together with the commit.
//!
//! Whoever writes a row looks for a tombstone afterwards, whoever writes a tombstone
//! looks for a row afterwards; both lock what they find. So whichever of two
//! transactions comes second sees the other, and a deleted row stays deleted.

use std::borrow::Cow;
use std::collections::HashSet;
use std::pin::pin;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures::{Stream, StreamExt};
use shared::event::Domain;

use crate::database::{Connection, Writer};
use crate::plan::Writes;
use crate::poison::{Poison, Reason};
use crate::refusal::{ApplyError, classify};
use crate::tables::{ProductRow, ProgressRow, Root, Statement, SupplierRow, TombstoneRow, Upsert};
use crate::write::{Failed, Written, late_documents, replace_children, write};

/// What a committed transaction did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Rows that were already as new as what came.
    pub stale: u64,
}

/// All of `portions`, in their order, and `progress`, or nothing.
///
/// The writer is of no further use after [`ApplyError::Away`].
///
/// # Errors
/// [`ApplyError`] says whether it is a row's fault. After `Away` the commit may have
/// succeeded all the same; to apply the same writes again is harmless.
pub async fn apply(
    Writer(connection): &mut Writer,
    portions: impl Stream<Item = Writes> + Send,
    progress: &[ProgressRow],
) -> Result<Applied, ApplyError> {
    let error = match attempt(connection, portions, progress).await {
        Ok(applied) => return Ok(applied),
        Err(Failed::Clash) => ApplyError::Refused(Poison {
            reason: Reason::OrderNumberTaken,
            error: "another order has this order_number".to_owned(),
        }),
        Err(Failed::Query(error)) => classify(connection, error).await,
    };
    match connection.batch_execute("ROLLBACK").await {
        Ok(()) => Err(error),
        Err(lost) => Err(ApplyError::Away(lost.to_string())),
    }
}

async fn attempt(
    connection: &mut Connection,
    portions: impl Stream<Item = Writes> + Send,
    progress: &[ProgressRow],
) -> Result<Applied, Failed> {
    let mut stale = 0;
    let mut portions = pin!(portions);
    let mut planned = portions.next().await;
    while let Some(writes) = planned {
        // The next one is planned while MySQL is at work on this one.
        let (applied, following) =
            futures::join!(apply_portion(connection, &writes), portions.next());
        stale += applied?;
        planned = following;
    }
    connection.batch_execute(&ProgressRow::commit(progress)).await?;
    Ok(Applied { stale })
}

async fn apply_portion(connection: &mut Connection, writes: &Writes) -> Result<u64, Failed> {
    TombstoneRow::upsert(connection, &writes.tombstones).await?;
    let mut stale = 0;
    stale += apply_suppliers(connection, writes).await?;
    stale += apply_products(connection, writes).await?;
    stale += apply_kept(connection, Statement::USER_DELETED, writes, &writes.users).await?.stale;
    stale += apply_orders(connection, writes).await?;
    stale += apply_kept(connection, Statement::POST_DELETED, writes, &writes.posts).await?.stale;
    Ok(stale)
}

async fn apply_suppliers(connection: &mut Connection, writes: &Writes) -> Result<u64, Failed> {
    let written = write(connection, &writes.suppliers).await?;
    let touched = touched(writes, Domain::Supplier, &writes.suppliers);
    bury(connection, Domain::Supplier, &touched).await?;
    Ok(written.stale)
}

async fn apply_products(connection: &mut Connection, writes: &Writes) -> Result<u64, Failed> {
    let rows = with_suppliers(connection, &writes.products).await?;
    let written = write(connection, &rows).await?;
    replace_children(connection, &written.passed, &writes.product_variants).await?;
    let touched = touched(writes, Domain::Product, &rows);
    bury(connection, Domain::Product, &touched).await?;
    Ok(written.stale)
}

async fn apply_orders(connection: &mut Connection, writes: &Writes) -> Result<u64, Failed> {
    let cancelled = Statement::ORDER_CANCELLED;
    let written = apply_kept(connection, cancelled, writes, &writes.orders).await?;
    replace_children(connection, &written.passed, &writes.order_items).await?;
    Ok(written.stale)
}

/// A table whose rows stay when a statement comes: it is laid over them.
async fn apply_kept<'a, R: Root>(
    connection: &mut Connection,
    statement: Statement,
    writes: &Writes,
    rows: &'a [R],
) -> Result<Written<'a>, Failed> {
    let mut written = write(connection, rows).await?;
    let touched = touched(writes, statement.domain, rows);
    let tombstones = TombstoneRow::locked(connection, statement.domain, &touched).await?;
    if tombstones.is_empty() {
        return Ok(written);
    }
    let late = late_documents(&tombstones, rows, &written.passed);
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

/// Removes the rows that a tombstone outranks.
async fn bury(connection: &mut Connection, domain: Domain, touched: &[&str]) -> QueryResult<()> {
    let tombstones = TombstoneRow::locked(connection, domain, touched).await?;
    let dead: Vec<_> = tombstones.iter().map(|tombstone| tombstone.entity_id.as_str()).collect();
    TombstoneRow::bury(connection, domain, &dead).await
}

/// Every entity of `domain` that this transaction wrote a row or a tombstone of.
fn touched<'a, R: Root>(writes: &'a Writes, domain: Domain, rows: &'a [R]) -> Vec<&'a str> {
    let mut ids: Vec<_> = rows.iter().map(Root::id).chain(writes.stated(domain)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The rows with a supplier each that the foreign key accepts: a placeholder for one
/// that is not known yet, NULL for one that is deleted.
async fn with_suppliers<'a>(
    connection: &mut Connection,
    products: &'a [ProductRow],
) -> QueryResult<Cow<'a, [ProductRow]>> {
    let mut wanted: Vec<_> = products.iter().filter_map(|row| row.supplier_id.as_deref()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let known = SupplierRow::shown(connection, &wanted).await?;
    let known: HashSet<_> = known.iter().map(|shown| shown.id.as_str()).collect();
    wanted.retain(|id| !known.contains(id));
    if wanted.is_empty() {
        return Ok(Cow::Borrowed(products));
    }
    let placeholders: Vec<_> = wanted.iter().map(|id| SupplierRow::placeholder(id)).collect();
    SupplierRow::upsert(connection, &placeholders).await?;
    let tombstones = TombstoneRow::locked(connection, Domain::Supplier, &wanted).await?;
    let deleted: HashSet<_> =
        tombstones.iter().map(|tombstone| tombstone.entity_id.as_str()).collect();
    let dead: Vec<_> = deleted.iter().copied().collect();
    TombstoneRow::bury(connection, Domain::Supplier, &dead).await?;
    let mut rows = products.to_vec();
    for row in &mut rows {
        row.supplier_id = row.supplier_id.take().filter(|id| !deleted.contains(id.as_str()));
    }
    Ok(Cow::Owned(rows))
}

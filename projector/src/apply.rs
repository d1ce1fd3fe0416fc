//! A batch's writes become one MySQL transaction.
//!
//! The order of its statements is part of the guarantee:
//! 1. tombstones of this batch;
//! 2. table by table, parents first: rows under their guard, then their children;
//! 3. per table, after its rows and before the next table's: the tombstones of all it
//!    touched, as others have committed them by now, and what follows from those (`look.rs`);
//! 4. progress, together with the commit, and often with the last of those looks.
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
use crate::look::Look;
use crate::plan::Writes;
use crate::refusal::{ApplyError, DUPLICATE, Refusal, classify};
use crate::tables::{ProductRow, ProgressRow, Root, SupplierRow, TombstoneRow, Upsert};
use crate::write::{Failed, Written, replace_children, write};

const PARENTS_FIRST: [Domain; 5] =
    [Domain::Supplier, Domain::Product, Domain::User, Domain::Order, Domain::Post];

/// Where a transaction begins and ends; in between an error names the table in hand.
const PROGRESS: &str = "projection_progress";

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
    Writer { connection, .. }: &mut Writer,
    portions: impl Stream<Item = Writes> + Send,
    progress: &[ProgressRow],
) -> Result<Applied, ApplyError> {
    let mut table = PROGRESS;
    let error = match attempt(connection, portions, progress, &mut table).await {
        Ok(applied) => return Ok(applied),
        Err(Failed::Clash) => ApplyError::Refused(Refusal {
            code: DUPLICATE[0],
            table,
            message: "another row has one of its unique values".to_owned(),
        }),
        Err(Failed::Query(error)) => classify(connection, table, &error).await,
    };
    match (connection.batch_execute("ROLLBACK").await, error) {
        // The verdict stands; the next attempt finds out that the connection is lost.
        (Ok(()), error) | (Err(_), error @ ApplyError::Refused(_)) => Err(error),
        (Err(lost), _) => Err(ApplyError::Away(lost.to_string())),
    }
}

async fn attempt(
    connection: &mut Connection,
    portions: impl Stream<Item = Writes> + Send,
    progress: &[ProgressRow],
    table: &mut &'static str,
) -> Result<Applied, Failed> {
    let mut stale = 0;
    let mut portions = pin!(portions);
    let mut planned = portions.next().await;
    while let Some(writes) = planned {
        // The next one is planned while MySQL is at work on this one.
        let (applied, following) =
            futures::join!(apply_portion(connection, &writes, table), portions.next());
        let Portion { stale: refused, last_look } = applied?;
        stale += refused;
        if let Some(look) = last_look {
            if following.is_none() && look.commit(connection, progress).await? {
                return Ok(Applied { stale: stale + look.stale() });
            }
            stale += look.take(connection, &writes).await?.stale;
        }
        planned = following;
    }
    *table = PROGRESS;
    connection.batch_execute(&ProgressRow::commit(progress)).await?;
    Ok(Applied { stale })
}

/// What was written of a portion.
struct Portion<'a> {
    /// Not counting the last table, where its look is still to be taken.
    stale: u64,
    /// Left to whoever knows whether the commit is next.
    last_look: Option<Look<'a>>,
}

async fn apply_portion<'a>(
    connection: &mut Connection,
    writes: &'a Writes,
    table: &mut &'static str,
) -> Result<Portion<'a>, Failed> {
    *table = "tombstones";
    TombstoneRow::upsert(connection, &writes.tombstones).await?;
    let mut portion = Portion { stale: 0, last_look: None };
    for domain in PARENTS_FIRST.into_iter().filter(|domain| writes.touches(*domain)) {
        if let Some(look) = portion.last_look.take() {
            portion.stale += look.take(connection, writes).await?.stale;
        }
        *table = domain.collection();
        let look = match domain {
            Domain::Supplier => write_root(connection, writes, &writes.suppliers).await?,
            Domain::Product => write_products(connection, writes).await?,
            Domain::User => write_root(connection, writes, &writes.users).await?,
            Domain::Order => {
                portion.stale += apply_orders(connection, writes).await?;
                continue;
            }
            Domain::Post => write_root(connection, writes, &writes.posts).await?,
        };
        portion.last_look = Some(look);
    }
    Ok(portion)
}

async fn write_root<'a, R: Root>(
    connection: &mut Connection,
    writes: &'a Writes,
    rows: &'a [R],
) -> Result<Look<'a>, Failed> {
    Ok(Look::after(writes, rows, write(connection, rows).await?))
}

async fn write_products<'a>(
    connection: &mut Connection,
    writes: &'a Writes,
) -> Result<Look<'a>, Failed> {
    let rows = with_suppliers(connection, &writes.products).await?;
    let Written { passed, stale } = write(connection, &rows).await?;
    replace_children(connection, &passed, &writes.product_variants).await?;
    // Which of them passed does not matter to what may be buried.
    let written = Written { passed: HashSet::new(), stale };
    Ok(Look::after(writes, &writes.products, written))
}

/// Its items follow from what the look for tombstones lets pass: so that cannot wait.
async fn apply_orders(connection: &mut Connection, writes: &Writes) -> Result<u64, Failed> {
    let look = write_root(connection, writes, &writes.orders).await?;
    let written = look.take(connection, writes).await?;
    replace_children(connection, &written.passed, &writes.order_items).await?;
    Ok(written.stale)
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

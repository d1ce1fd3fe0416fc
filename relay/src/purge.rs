//! Published events leave the outbox after a while, in pages.
//!
//! Which records are published is written nowhere in the collection, so each page is
//! decided by order alone: read the page, ask for the cluster time, and delete the page
//! only once everything committed up to that time is acknowledged,
//! whatever any clock says and however old a record is.

use std::time::Duration;

use bson::{Bson, doc};
use futures::TryStreamExt;
use mongodb::error::Error;
use shared::Timestamp;
use shared::outbox::field;
use tokio::time::{Instant, sleep};

use crate::Relay;
use crate::position::ClusterTime;

/// Records in one page: a deletion of so many takes a few milliseconds.
const PAGE: i64 = 1_000;
/// How often it looks when there was nothing to do, or it was not safe yet.
const IDLE: Duration = Duration::from_millis(500);
/// A page is deleted in a time of `d`, then it rests for at least this many times `d`:
/// the purge takes a quarter of one connection's time at most.
const REST: u32 = 3;

/// Purges until the process stops.
pub async fn run(relay: &Relay) {
    let mut page = None;
    loop {
        let begun = Instant::now();
        let rest = match step(relay, &mut page).await {
            Ok(true) => begun.elapsed() * REST,
            Ok(false) => IDLE,
            Err(error) => {
                // Whether MongoDB is there is said by the reader of the change stream.
                tracing::debug!(%error, "purge put off");
                IDLE
            }
        };
        sleep(rest.max(Duration::from_millis(10))).await;
    }
}

/// Old records, all committed before `read_at`.
struct Page {
    ids: Vec<Bson>,
    read_at: ClusterTime,
}

/// Deletes the page if that is safe by now, else reads the next. True where something
/// was deleted.
async fn step(relay: &Relay, page: &mut Option<Page>) -> Result<bool, Error> {
    let Some(covered) = relay.metrics.lag.covered() else {
        // This relay does not lead, or does not know where it stands: neither it nor a
        // page that it read before may decide anything.
        *page = None;
        return Ok(false);
    };
    if page.is_none() {
        *page = read(relay).await?;
    }
    match page.take_if(|page| page.read_at <= covered) {
        Some(safe) => delete(relay, safe).await.map(|()| true),
        None => Ok(false),
    }
}

/// `None` where nothing is old enough.
async fn read(relay: &Relay) -> Result<Option<Page>, Error> {
    let retention = i64::try_from(relay.config.outbox_retention.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::now().millis().saturating_sub(retention);
    let before = bson::DateTime::from_millis(before);
    let mut filter = relay.shard.filter(field::ENTITY_ID);
    filter.insert(field::OCCURRED_AT, doc! { "$lt": before });
    let find = relay.source.outbox.find(filter).limit(PAGE);
    let find = find.sort(doc! { field::OCCURRED_AT: 1 });
    let found = find.projection(doc! { field::EVENT_ID: 1 }).await?;
    let found: Vec<_> = found.try_collect().await?;
    let id = |record: &bson::RawDocumentBuf| {
        let id = record.get(field::EVENT_ID).ok().flatten();
        id.and_then(|id| Bson::try_from(id).ok())
    };
    let ids: Vec<Bson> = found.iter().filter_map(id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let read_at = relay.source.cluster_time().await?;
    Ok(Some(Page { ids, read_at }))
}

async fn delete(relay: &Relay, page: Page) -> Result<(), Error> {
    let filter = doc! { field::EVENT_ID: { "$in": page.ids } };
    let deleted = relay.source.outbox.delete_many(filter).await?.deleted_count;
    relay.metrics.purged.inc_by(deleted);
    Ok(())
}

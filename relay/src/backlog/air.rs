//! Records that were written before a moment of MongoDB's clock and committed after it: a
//! record carries the former, and the proof speaks of the latter.

use bson::{Bson, Timestamp as ClusterTimeInBson, doc};
use futures::TryStreamExt;
use mongodb::error::Error;
use mongodb::options::{Hint, ReadConcern};
use shared::Timestamp;
use shared::outbox::field;

use super::by_insertion;
use crate::Relay;
use crate::position::ClusterTime;
use crate::source::command_code;

/// Looked at together. Where one such lot was wholly committed, so are those before it: no
/// transaction of the api takes as long as a thousand others.
const LOT: usize = 1_000;
/// With less lag than this the proof moves on, and a moment later all of these are counted.
const QUIET_SECONDS: f64 = 2.0;

/// Asked for once for each moment at which the proof stands still.
#[derive(Debug, Default)]
pub struct Air {
    known: Option<(ClusterTime, u64)>,
}

impl Air {
    /// How many records were in the air at `through`.
    ///
    /// # Errors
    /// Where MongoDB is away.
    pub async fn at(&mut self, relay: &Relay, through: ClusterTime) -> Result<u64, Error> {
        let lag = relay.metrics.lag.seconds(Timestamp::now());
        if lag.is_some_and(|seconds| seconds < QUIET_SECONDS) {
            return Ok(0);
        }
        if let Some((_, events)) = self.known.filter(|(moment, _)| *moment == through) {
            return Ok(events);
        }
        let events = match uncommitted(relay, through).await {
            Ok(events) => events,
            // MongoDB remembers a moment for five minutes. What it then held is not known any
            // more; it was a handful.
            Err(error) if matches!(command_code(&error), Some(239 | 246)) => 0,
            Err(error) => return Err(error),
        };
        self.known = Some((through, events));
        Ok(events)
    }
}

async fn uncommitted(relay: &Relay, through: ClusterTime) -> Result<u64, Error> {
    let mut written = relay.shard.filter(field::ENTITY_ID);
    written.insert(field::INSERTED_AT, doc! { "$lte": ClusterTimeInBson::from(through) });
    let newest = relay.source.outbox.find(written).sort(doc! { field::INSERTED_AT: -1 });
    let newest = newest.hint(Hint::Keys(by_insertion())).projection(doc! { field::EVENT_ID: 1 });
    let newest = newest.batch_size(LOT as u32).await?;
    let mut lots = newest.try_chunks(LOT);
    let mut events = 0;
    loop {
        let lot = lots.try_next().await.map_err(|stopped| stopped.1)?.unwrap_or_default();
        let id = |record: &bson::RawDocumentBuf| {
            record.get(field::EVENT_ID).ok().flatten().and_then(|id| Bson::try_from(id).ok())
        };
        let ids: Vec<Bson> = lot.iter().filter_map(id).collect();
        let missing = ids.len() as u64 - held(relay, through, ids).await?;
        events += missing;
        if missing == 0 || lot.len() < LOT {
            return Ok(events);
        }
    }
}

/// How many of them the outbox held at that moment.
async fn held(relay: &Relay, through: ClusterTime, ids: Vec<Bson>) -> Result<u64, Error> {
    if ids.is_empty() {
        return Ok(0);
    }
    let mut session = relay.source.session_at(through).await?;
    let among = doc! { field::EVENT_ID: { "$in": ids } };
    let found = relay.source.outbox.find(among).projection(doc! { field::EVENT_ID: 1 });
    let mut found = found.read_concern(ReadConcern::snapshot()).session(&mut session).await?;
    let mut held = 0;
    while found.next(&mut session).await.transpose()?.is_some() {
        held += 1;
    }
    Ok(held)
}

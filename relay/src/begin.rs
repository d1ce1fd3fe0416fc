//! The beginning of a session: from a claimed shard and what the checkpoints say to a
//! stream that goes on where the last one ended.

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use shared::process::{Failure, retry};

use crate::Relay;
use crate::checkpoint::{self, Checkpoint, Counters, Progress};
use crate::failure::InitError;
use crate::history;
use crate::kafka::{KAFKA_RETRY, Watch, blocking, reader_config};
use crate::layout::{self, Heritage};
use crate::position::{ClusterTime, Position};
use crate::publish::Publisher;
use crate::recover::{self, CatchUp, NO_CHECKPOINT};
use crate::session::{Ended, interrupted};
use crate::source::Identity;
use crate::stage::Stage;
use crate::tail::{NOT_FOUND, Tail, TailError};
use crate::watermark;

/// Claims the shard and finds where to go on; sweeps the outbox where that is lost. Up to
/// `one_by_one_until` a backlog is not sent in large transactions.
///
/// # Errors
/// [`Ended`]: to be begun again.
pub async fn begin(
    relay: &Relay,
    one_by_one_until: Option<ClusterTime>,
) -> Result<(Stage<'_>, Tail, Option<CatchUp>), Ended> {
    relay.metrics.lag.uncover();
    let identity = relay.source.prepare().await?;
    let publisher = claim(relay).await?;
    // What an earlier session left open is decided.
    relay.held_back.own(None);
    let (newest, division) = inherit(relay).await?;
    let went_back = history::compare(relay, newest.as_deref()).await?;
    let is_adopted = newest.as_ref().is_some_and(|newest| newest.renewals.is_none());
    let counters = newest.as_ref().map(|newest| newest.counters).unwrap_or_default();
    let source = identity.source.clone();
    let mut stage = Stage::new(relay, publisher, source, division, counters, one_by_one_until);
    let reason = match standing(newest, &identity, went_back.is_some()) {
        Ok((checkpoint, position)) => match Tail::open(relay, Some(&position)).await {
            Ok(tail) => {
                let catch_up = CatchUp::after(relay, &mut stage, &checkpoint).await?;
                resume(relay, &checkpoint);
                return Ok((stage, tail, catch_up));
            }
            Err(TailError::Lost { reason, .. }) => reason,
            Err(error) => return Err(error.into()),
        },
        Err(reason) => reason,
    };
    if reason == OTHER_DATABASE {
        relay.metrics.lag.forget();
    }
    let went_back = went_back.or_else(|| shows_that_it_went_back(reason, is_adopted));
    if ELSEWHERE.contains(&reason) || went_back.is_some() {
        watermark::withdraw(relay).await?;
    }
    if let Some(how) = went_back {
        history::record(relay, &how).await?;
    }
    let (position, catch_up) = recover::sweep(relay, &mut stage, reason).await?;
    let tail = Tail::open(relay, Some(&position)).await?;
    Ok((stage, tail, Some(catch_up)))
}

/// The checkpoint to go on from, and the division of the outbox that holds from now on.
async fn inherit(relay: &Relay) -> Result<(Option<Box<Checkpoint>>, u64), Ended> {
    let known = checkpoints(relay).await?;
    let division = known.iter().map(|found| found.division).max().unwrap_or(0);
    let inherited = match layout::heritage(relay.shard, &known) {
        Heritage::None => (None, division),
        Heritage::Own(own) => (Some(own), division),
        Heritage::Unfinished(why) => return Err(Ended::Undrained(why)),
        Heritage::Former { from, until } => {
            let division = from.division + 1;
            (Some(adopt(relay, from, &until).await?), division)
        }
    };
    if relay.health.dependencies().contains_key(FORMER_DIVISION) {
        relay.health.dependency(FORMER_DIVISION).up();
    }
    Ok(inherited)
}

fn resume(relay: &Relay, checkpoint: &Checkpoint) {
    let lag = &relay.metrics.lag;
    if let Some(moment) = checkpoint.proven_at {
        lag.prove(moment);
    }
    lag.checkpointed(checkpoint);
    let published = checkpoint.counters.published;
    tracing::info!(published, "resuming from the checkpoint");
}

/// Why a sweep is needed, as [`standing`] says it.
pub const SWEEP_REASONS: [&str; 4] =
    [NO_CHECKPOINT, OTHER_DATABASE, "recovery_interrupted", REWOUND];

/// No server, but waited for like one, once it turns out to stand in the way.
pub const FORMER_DIVISION: &str = "former_division";
const OTHER_DATABASE: &str = "other_database";
const REWOUND: &str = "rewound";

/// With these the database or the cluster is another one, or an older state of it, so that
/// what a watermark says of it may be untrue.
const ELSEWHERE: [&str; 3] = [NO_CHECKPOINT, OTHER_DATABASE, REWOUND];

/// Where to go on in this outbox, or why the newest checkpoint is worth nothing. Pure.
fn standing(
    newest: Option<Box<Checkpoint>>,
    identity: &Identity,
    went_back: bool,
) -> Result<(Box<Checkpoint>, Position), &'static str> {
    let checkpoint = newest.ok_or(NO_CHECKPOINT)?;
    if checkpoint.source != identity.source {
        return Err(OTHER_DATABASE);
    }
    match checkpoint.progress.clone() {
        Progress::Recovering { .. } => Err("recovery_interrupted"),
        // At a later moment MongoDB would wait for that to come again.
        Progress::At(position) if went_back || position.time > identity.now => Err(REWOUND),
        Progress::At(position) => Ok((checkpoint, position)),
    }
}

/// What the reason for a sweep says of MongoDB. A checkpoint that was adopted names an event
/// that another shard's stream brought.
fn shows_that_it_went_back(reason: &str, is_adopted: bool) -> Option<String> {
    let how = match reason {
        REWOUND => "the checkpoint in Kafka names a moment that MongoDB has not reached",
        NOT_FOUND if !is_adopted => "the oplog does not hold the event that the checkpoint names",
        _ => return None,
    };
    Some(how.to_owned())
}

/// Makes the end of a former division this shard's beginning, if nothing was written
/// between the first of its shards stopping and the last: of that nobody knows any more
/// who has published it.
async fn adopt(
    relay: &Relay,
    from: Box<Checkpoint>,
    until: &Position,
) -> Result<Box<Checkpoint>, Ended> {
    if let Progress::At(position) = &from.progress {
        let whole = Tail::open_whole(relay, Some(position)).await;
        let between = match whole {
            Ok(mut tail) => tail.has_events_until(until.time).await?,
            // Then the sweep decides it.
            Err(TailError::Lost { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if between {
            let why = "events were written between the stop of its first shard and of its last";
            return Err(Ended::Undrained(why.to_owned()));
        }
    }
    let shard = relay.shard.to_string();
    tracing::info!(former = from.shard, shard, "taking over from a former division");
    let mut adopted = from;
    // That is the count of another shard's lease.
    adopted.renewals = None;
    adopted.counters = Counters::default();
    Ok(adopted)
}

/// Fences every other holder of this shard.
async fn claim(relay: &Relay) -> Result<Publisher, Ended> {
    let watch = Watch(relay.kafka.clone());
    let publisher =
        Publisher::new(&relay.config, &relay.topics, relay.shard, &watch, &relay.shutdown)?;
    let kind = |error: &InitError| match error {
        InitError::Again(_) => Failure::Transient,
        InitError::Lost(_) => Failure::Permanent,
    };
    let claimed = retry(KAFKA_RETRY, &relay.shutdown, &relay.kafka, kind, || publisher.claim());
    claimed.await.map_err(interrupted)?;
    Ok(publisher)
}

async fn checkpoints(relay: &Relay) -> Result<Vec<Checkpoint>, Ended> {
    let settings = reader_config(&relay.config);
    let watch = Watch(relay.kafka.clone());
    let (topic, shard) = (relay.topics.checkpoint.clone(), relay.shard);
    let reading = blocking(&relay.shutdown, move |stop| {
        let consumer = BaseConsumer::from_config_and_context(&settings, watch)?;
        checkpoint::read_newest(&consumer, &topic, shard, stop)
    });
    Ok(reading.await.map_err(Ended::Panicked)??)
}

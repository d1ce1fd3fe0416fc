//! One life of a leading relay: claim the shard, read the checkpoint, go on from there.
//! Whatever fails ends the session; the next one begins with the checkpoint again, so
//! that nothing depends on what this one still remembered.

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use shared::process::{Failure, Interrupted, RetryPolicy, retry};
use tokio::task::JoinError;

use crate::Relay;
use crate::backlog;
use crate::checkpoint::{self, Checkpoint, Counters, Progress, ReadError};
use crate::kafka::{Watch, reader_config};
use crate::layout::{self, Heritage};
use crate::lease;
use crate::pipeline;
use crate::position::{Position, UnreadableToken};
use crate::producer::{InitError, TransactionError};
use crate::publish::Publisher;
use crate::read_back::ReadBackError;
use crate::recover::{self, NO_CHECKPOINT};
use crate::source::{Identity, plain};
use crate::stage::Stage;
use crate::tail::{Tail, TailError};
use crate::topics;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("shutting down")]
    Stopped,
    #[error("MongoDB: {}", plain(.0))]
    Mongo(#[from] mongodb::error::Error),
    #[error("change stream: {0}")]
    Tail(#[from] TailError),
    #[error("change stream: {0}")]
    Token(#[from] UnreadableToken),
    #[error("Kafka: {0}")]
    Transaction(TransactionError),
    #[error("Kafka: {0}")]
    Claim(#[from] InitError),
    #[error("Kafka: reading the checkpoint: {0}")]
    Checkpoint(#[from] ReadError),
    #[error("Kafka: {0}")]
    ReadBack(#[from] ReadBackError),
    #[error(
        "the outbox was divided otherwise before, and {0}: start those shards again, stop the writes, wait until their lag is 0, stop them"
    )]
    Undrained(String),
    #[error("another relay has taken the lease")]
    Deposed,
    #[error("the lease could not be renewed in time")]
    Expired,
    #[error("a bug: {0}")]
    Panicked(#[source] JoinError),
}

/// Session after session, as long as this relay leads; between them it stands by.
pub async fn run(relay: &Relay) {
    let mut waits = RetryPolicy::default().waits();
    while !relay.shutdown.is_cancelled() {
        let published = relay.published();
        let ended = match prepare(relay).await {
            Ok(()) => in_office(relay).await,
            Err(ended) => ended,
        };
        report(relay, &ended);
        if relay.published() > published {
            waits = RetryPolicy::default().waits();
        }
        let wait = waits.next().unwrap_or_default();
        tokio::select! {
            () = relay.shutdown.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What a standby can do as well: so it takes over the sooner, and says that it is ready.
async fn prepare(relay: &Relay) -> Result<(), Ended> {
    prepare_source(relay).await?;
    ensure_topics(relay).await?;
    lease::acquire(relay).await
}

/// Leads until that fails, or the lease is lost.
async fn in_office(relay: &Relay) -> Ended {
    let ended = tokio::select! {
        ended = lead(relay) => ended,
        ended = lease::keep(relay) => ended,
    };
    lease::release(relay).await;
    ended
}

/// A server that went away is said once, by its dependency; anything else is an event
/// of its own.
fn report(relay: &Relay, ended: &Ended) {
    match ended {
        Ended::Stopped => {}
        Ended::Undrained(_) => relay.health.dependency(FORMER_DIVISION).down(ended),
        Ended::Mongo(_) | Ended::Tail(TailError::Mongo(_) | TailError::Silent) => {
            relay.mongodb.down(ended);
        }
        Ended::Claim(InitError::Again(_)) | Ended::Checkpoint(_) | Ended::ReadBack(_) => {
            relay.kafka.down(ended);
        }
        _ => tracing::warn!(reason = %ended, "starting again from the checkpoint"),
    }
}

async fn lead(relay: &Relay) -> Ended {
    match begin(relay).await {
        Ok((mut stage, tail, catch_up)) => {
            pipeline::stream(relay, &mut stage, tail, catch_up).await
        }
        Err(ended) => ended,
    }
}

async fn begin(relay: &Relay) -> Result<(Stage<'_>, Tail, Option<recover::CatchUp>), Ended> {
    relay.metrics.lag.uncover();
    let identity = prepare_source(relay).await?;
    let publisher = claim(relay).await?;
    let known = checkpoints(relay).await?;
    let division = known.iter().map(|found| found.division).max().unwrap_or(0);
    let (newest, division) = match layout::heritage(relay.shard, &known) {
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
    let counters = newest
        .as_ref()
        .map(|newest| newest.counters)
        .unwrap_or_default();
    let source = identity.source.clone();
    let mut stage = Stage::new(relay, publisher, source, division, counters);
    let reason = match standing(newest, &identity) {
        Ok((checkpoint, position)) => match Tail::open(relay, Some(&position)).await {
            Ok(tail) => {
                resume(relay, &checkpoint);
                return Ok((stage, tail, None));
            }
            Err(TailError::Lost { reason, .. }) => reason,
            Err(error) => return Err(error.into()),
        },
        Err(reason) => reason,
    };
    if reason == OTHER_DATABASE {
        relay.metrics.lag.forget();
    }
    let (position, catch_up) = recover::sweep(relay, &mut stage, reason).await?;
    let tail = Tail::open(relay, Some(&position)).await?;
    Ok((stage, tail, Some(catch_up)))
}

fn resume(relay: &Relay, checkpoint: &Checkpoint) {
    let lag = &relay.metrics.lag;
    if let Some(moment) = checkpoint.proven_at {
        lag.prove(moment);
    }
    lag.checkpointed(checkpoint);
    lag.set_retained(checkpoint.counters.retained);
    let published = checkpoint.counters.published;
    tracing::info!(published, "resuming from the checkpoint");
}

/// No server, but waited for like one, once it turns out to stand in the way.
const FORMER_DIVISION: &str = "former_division";
const OTHER_DATABASE: &str = "other_database";

/// Where to go on in this outbox, or why the newest checkpoint is worth nothing. Pure.
fn standing(
    newest: Option<Box<Checkpoint>>,
    identity: &Identity,
) -> Result<(Box<Checkpoint>, Position), &'static str> {
    let checkpoint = newest.ok_or(NO_CHECKPOINT)?;
    if checkpoint.source != identity.source {
        return Err(OTHER_DATABASE);
    }
    match checkpoint.progress.clone() {
        Progress::Recovering { .. } => Err("recovery_interrupted"),
        // The database went back in time: MongoDB would wait for that moment to come again.
        Progress::At(position) if position.time > identity.now => Err("rewound"),
        Progress::At(position) => Ok((checkpoint, position)),
    }
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
    tracing::info!(
        former = from.shard,
        shard,
        "taking over from a former division"
    );
    let mut adopted = from;
    adopted.counters = Counters {
        retained: backlog::count_exactly(relay).await?,
        ..Counters::default()
    };
    Ok(adopted)
}

async fn prepare_source(relay: &Relay) -> Result<Identity, Ended> {
    let attempt = async || relay.source.prepare().await.map_err(Ended::Mongo);
    let transient = |_: &Ended| Failure::Transient;
    let prepared = retry(
        RetryPolicy::default(),
        &relay.shutdown,
        &relay.mongodb,
        transient,
        attempt,
    );
    prepared.await.map_err(interrupted)
}

async fn ensure_topics(relay: &Relay) -> Result<(), Ended> {
    let watch = Watch(relay.kafka.clone());
    let ensure = || topics::ensure(&relay.config, &relay.topics, watch.clone());
    let kind = |_: &topics::TopicError| Failure::Transient;
    let ensured = retry(
        RetryPolicy::default(),
        &relay.shutdown,
        &relay.kafka,
        kind,
        ensure,
    );
    ensured.await.map_err(|_| Ended::Stopped)
}

/// Fences every other holder of this shard.
async fn claim(relay: &Relay) -> Result<Publisher, Ended> {
    let watch = Watch(relay.kafka.clone());
    let stop = relay.shutdown.clone();
    let publisher = Publisher::new(
        &relay.config,
        relay.topics.clone(),
        relay.shard,
        watch,
        stop,
    )?;
    let kind = |error: &InitError| match error {
        InitError::Again(_) => Failure::Transient,
        InitError::Lost(_) => Failure::Permanent,
    };
    let policy = RetryPolicy::default();
    let claimed = retry(policy, &relay.shutdown, &relay.kafka, kind, || {
        publisher.claim()
    });
    claimed.await.map_err(interrupted)?;
    Ok(publisher)
}

fn interrupted<E: Into<Ended>>(error: Interrupted<E>) -> Ended {
    match error {
        Interrupted::Shutdown => Ended::Stopped,
        Interrupted::Permanent(error) => error.into(),
    }
}

async fn checkpoints(relay: &Relay) -> Result<Vec<Checkpoint>, Ended> {
    let settings = reader_config(&relay.config);
    let watch = Watch(relay.kafka.clone());
    let (topic, shard) = (relay.topics.checkpoint.clone(), relay.shard);
    let stop = relay.shutdown.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let consumer = BaseConsumer::from_config_and_context(&settings, watch)?;
        checkpoint::read_newest(&consumer, &topic, shard, &stop)
    });
    Ok(reading.await.map_err(Ended::Panicked)??)
}

impl Relay {
    fn published(&self) -> u64 {
        let published = &self.metrics.published;
        let of =
            |domain: shared::event::Domain| published.with_label_values(&[domain.topic()]).get();
        shared::event::Domain::ALL.into_iter().map(of).sum()
    }
}

//! One life of a leading relay: claim the shard, read the checkpoint, go on from there.
//! Whatever fails ends the session; the next one begins with the checkpoint again, so
//! that nothing depends on what this one still remembered.

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use shared::process::{Failure, Interrupted, RetryPolicy, retry};
use tokio::task::JoinError;

use crate::Relay;
use crate::checkpoint::{self, Checkpoint, Progress, ReadError};
use crate::kafka::{Watch, reader_config};
use crate::lease;
use crate::pipeline;
use crate::position::{Position, UnreadableToken};
use crate::producer::{InitError, TransactionError};
use crate::publish::Publisher;
use crate::read_back::ReadBackError;
use crate::recover::{self, NO_CHECKPOINT};
use crate::source::Identity;
use crate::stage::Stage;
use crate::tail::{Tail, TailError};
use crate::topics;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("shutting down")]
    Stopped,
    #[error("MongoDB: {0}")]
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
    let newest = newest_checkpoint(relay).await?;
    let counters = newest
        .as_ref()
        .map(|newest| newest.counters)
        .unwrap_or_default();
    let mut stage = Stage::new(relay, publisher, identity.source.clone(), counters);
    let reason = match standing(newest, &identity) {
        Standing::Resume(checkpoint, position) => {
            if let Some(moment) = checkpoint.proven_at {
                relay.metrics.lag.prove(moment);
            }
            relay.metrics.lag.checkpointed(&checkpoint);
            relay.metrics.lag.set_retained(counters.retained);
            match Tail::open(relay, Some(&position)).await {
                Ok(tail) => {
                    tracing::info!(
                        published = counters.published,
                        "resuming from the checkpoint"
                    );
                    return Ok((stage, tail, None));
                }
                Err(TailError::Lost { reason, .. }) => reason.to_owned(),
                Err(error) => return Err(error.into()),
            }
        }
        Standing::Lost(reason) => {
            if reason == OTHER_DATABASE {
                relay.metrics.lag.forget();
            }
            reason
        }
    };
    let (position, catch_up) = recover::sweep(relay, &mut stage, &reason).await?;
    let tail = Tail::open(relay, Some(&position)).await?;
    Ok((stage, tail, Some(catch_up)))
}

const OTHER_DATABASE: &str = "other_database";

enum Standing {
    Resume(Box<Checkpoint>, Position),
    Lost(String),
}

/// What the newest checkpoint is worth for this outbox. Pure.
fn standing(newest: Option<Checkpoint>, identity: &Identity) -> Standing {
    let Some(checkpoint) = newest else {
        return Standing::Lost(NO_CHECKPOINT.to_owned());
    };
    if checkpoint.source != identity.source {
        return Standing::Lost(OTHER_DATABASE.to_owned());
    }
    match checkpoint.progress.clone() {
        Progress::Recovering { .. } => Standing::Lost("recovery_interrupted".to_owned()),
        // The database went back in time: MongoDB would wait for that moment to come again.
        Progress::At(position) if position.time > identity.now => {
            Standing::Lost("rewound".to_owned())
        }
        Progress::At(position) => Standing::Resume(Box::new(checkpoint), position),
    }
}

async fn prepare_source(relay: &Relay) -> Result<Identity, Ended> {
    let attempt = || relay.source.prepare();
    let transient = |_: &mongodb::error::Error| Failure::Transient;
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

async fn newest_checkpoint(relay: &Relay) -> Result<Option<Checkpoint>, Ended> {
    let settings = reader_config(&relay.config.kafka);
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

//! One life of a leading relay: claim the shard, read the checkpoint, go on from there.
//! Whatever fails ends the session; the next one begins with the checkpoint again, so
//! that nothing depends on what this one still remembered.

use std::time::Duration;

use shared::process::{Failure, Interrupted, RetryPolicy, Stranded, retry};
use tokio::task::JoinError;

use crate::Relay;
use crate::begin::{FORMER_DIVISION, begin};
use crate::change::MalformedAnswer;
use crate::checkpoint::ReadError;
use crate::failure::{InitError, TransactionError};
use crate::kafka::{KAFKA_RETRY, Watch, stranded};
use crate::lease;
use crate::pipeline;
use crate::position::ClusterTime;
use crate::read_to_end::NotRead;
use crate::source::{Identity, plain};
use crate::tail::TailError;
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
    Malformed(#[from] MalformedAnswer),
    /// `until` is how far it would have brought us, where it held more than can be tried
    /// again here.
    #[error("Kafka: {error}")]
    Transaction { error: TransactionError, until: Option<ClusterTime> },
    #[error("Kafka: {0}")]
    Claim(#[from] InitError),
    #[error("Kafka: reading the checkpoint: {0}")]
    Checkpoint(#[from] ReadError),
    #[error("Kafka: {0}")]
    ReadBack(#[from] NotRead),
    #[error(
        "the outbox was divided otherwise before, and {0}: start those shards again, stop the writes, wait until their lag is 0, stop them"
    )]
    Undrained(String),
    #[error("another relay has taken the lease")]
    Deposed,
    #[error("the lease could not be renewed in time")]
    Expired,
    #[error("Kafka accepts connections, and its clients do not find it: they are replaced")]
    Stranded,
    #[error("MongoDB went back in time")]
    Rewound,
    #[error("a bug: {0}")]
    Panicked(#[source] JoinError),
    #[error("a bug: the publishing thread has panicked")]
    PublisherGone,
}

/// Between two sessions. Each one makes some ten clients.
const PAUSE: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(50), max: Duration::from_secs(2) };

/// Session after session, as long as this relay leads; between them it stands by.
pub async fn run(relay: &Relay) {
    let mut waits = PAUSE.waits();
    let mut one_by_one_until = None;
    let mut brokers = Stranded::new(&relay.config.kafka.kafka_bootstrap_servers);
    while !relay.shutdown.is_cancelled() {
        let published = relay.published();
        let ended = match prepare(relay).await {
            Ok(()) => in_office(relay, one_by_one_until, &mut brokers).await,
            Err(ended) => ended,
        };
        report(relay, &ended);
        if let Ended::Transaction { until, .. } = ended {
            one_by_one_until = one_by_one_until.max(until);
        }
        if relay.published() > published {
            waits = PAUSE.waits();
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
async fn in_office(
    relay: &Relay,
    one_by_one_until: Option<ClusterTime>,
    brokers: &mut Stranded,
) -> Ended {
    let ended = tokio::select! {
        ended = lead(relay, one_by_one_until) => ended,
        ended = lease::keep(relay) => ended,
        () = stranded(relay, brokers) => Ended::Stranded,
    };
    if matches!(ended, Ended::Stranded) && relay.held_back.has_own() {
        let lost = TransactionError::Lost(String::new()).reason();
        relay.metrics.publish_failures.with_label_values(&[lost]).inc();
    }
    lease::release(relay).await;
    ended
}

/// A server that went away is said once, by its dependency; anything else is an event
/// of its own.
fn report(relay: &Relay, ended: &Ended) {
    match ended {
        // The next session says it, in the log and in MongoDB.
        Ended::Stopped | Ended::Rewound => {}
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

async fn lead(relay: &Relay, one_by_one_until: Option<ClusterTime>) -> Ended {
    match begin(relay, one_by_one_until).await {
        Ok((mut stage, tail, catch_up)) => {
            pipeline::stream(relay, &mut stage, tail, catch_up).await
        }
        Err(ended) => ended,
    }
}

async fn prepare_source(relay: &Relay) -> Result<Identity, Ended> {
    let attempt = async || relay.source.prepare().await.map_err(Ended::Mongo);
    let transient = |_: &Ended| Failure::Transient;
    let prepared =
        retry(RetryPolicy::default(), &relay.shutdown, &relay.mongodb, transient, attempt);
    prepared.await.map_err(interrupted)
}

async fn ensure_topics(relay: &Relay) -> Result<(), Ended> {
    let watch = Watch(relay.kafka.clone());
    let ensure = || topics::ensure(&relay.config, &relay.topics, watch.clone());
    let kind = |_: &topics::TopicError| Failure::Transient;
    let ensured = retry(KAFKA_RETRY, &relay.shutdown, &relay.kafka, kind, ensure);
    ensured.await.map_err(|_| Ended::Stopped)
}

/// A wait that ended without a result.
pub fn interrupted<E: Into<Ended>>(error: Interrupted<E>) -> Ended {
    match error {
        Interrupted::Shutdown => Ended::Stopped,
        Interrupted::Permanent(error) => error.into(),
    }
}

impl Relay {
    fn published(&self) -> u64 {
        let published = &self.metrics.published;
        let of =
            |domain: shared::event::Domain| published.with_label_values(&[domain.topic()]).get();
        shared::event::Domain::ALL.into_iter().map(of).sum()
    }
}

//! outbox change stream ──► Kafka transactions
//!
//! ```text
//! tail ─► batch ─► begin, produce all (and a checkpoint), commit ─► advance
//! ```
//!
//! **Guarantee.** A read_committed reader sees each event exactly once, and each
//! entity's events in the order of their versions, whatever is killed: a checkpoint and
//! its events are one Kafka transaction, and what was published behind the last one is read
//! back from the topics. When the place in the change stream is lost, the outbox itself is swept; nothing is ever skipped.
//!
//! **Never**: parses a payload, links MySQL, starts "from now", reports a lag of zero
//! that it cannot prove.

mod ahead;
mod backlog;
pub mod batch;
mod begin;
mod change;
mod change_stream;
pub mod checkpoint;
pub mod config;
mod dead;
mod deliveries;
mod ends;
mod failure;
mod frontier;
mod group;
mod group_watch;
mod held_back;
mod history;
mod kafka;
mod lag;
mod landing;
mod lane;
mod layout;
mod lease;
mod letters;
mod losses;
mod marks;
mod members;
mod metrics;
mod obstacle;
mod pipeline;
pub mod position;
mod producer;
mod producer_settings;
pub mod properties;
mod publish;
mod published;
mod purge;
mod read_back;
mod read_to_end;
mod recover;
mod refused;
mod session;
mod source;
mod stage;
mod survey;
mod tail;
pub mod topics;
mod transaction;
mod watermark;

use shared::Shard;
use shared::process::{Dependency, Health, Shutdown, registry, serve_ops};

pub use source::DEAD_COLLECTION;

use crate::config::Config;
use crate::held_back::HeldBack;
use crate::history::History;
use crate::lease::Holder;
use crate::metrics::Metrics;
use crate::obstacle::InTheWay;
use crate::source::Source;
use crate::topics::Topics;

/// Why the relay cannot run at all. Servers that are away are no reason: it waits.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("MONGODB_URL: {0}")]
    MongoUrl(#[source] mongodb::error::Error),
    #[error("Kafka settings: {0}")]
    Property(#[from] properties::RefusedProperty),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("RELAY_ADDR or signals: {0}")]
    Io(#[from] std::io::Error),
}

/// What the stages share.
pub(crate) struct Relay {
    config: Config,
    shard: Shard,
    holder: Holder,
    topics: Topics,
    source: Source,
    metrics: Metrics,
    mongodb: Dependency,
    kafka: Dependency,
    health: Health,
    shutdown: Shutdown,
    held_back: HeldBack,
    history: History,
    in_the_way: InTheWay,
}

/// Runs the relay and its metrics server until `shutdown`.
///
/// # Errors
/// [`RunError`], at once; later nothing ends it but `shutdown`.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), RunError> {
    producer_settings::check(&config)?;
    let health = Health::default();
    let registry = registry(&health)?;
    let source = Source::new(&config.mongo).await.map_err(RunError::MongoUrl)?;
    let held_back = HeldBack::new()?;
    registry.register(Box::new(held_back.clone()))?;
    let relay = Relay {
        shard: config.shard,
        holder: Holder::at(config.relay_addr),
        topics: Topics::new(&config.kafka, &config.checkpoint_topic),
        source,
        metrics: Metrics::register(&registry)?,
        mongodb: health.dependency("mongodb"),
        kafka: health.dependency("kafka"),
        health: health.clone(),
        shutdown: shutdown.clone(),
        held_back,
        history: History::default(),
        in_the_way: InTheWay::default(),
        config,
    };
    relay.metrics.shards.set(relay.shard.count().into());
    // Health and metrics answer until the last transaction is settled.
    let ops_stop = Shutdown::new();
    let ops = serve_ops(relay.config.relay_addr, health.clone(), registry, ops_stop);
    tokio::select! {
        // Ends by itself only where the address cannot be bound.
        served = ops => served?,
        () = session::run(&relay) => {}
        () = drain(&shutdown, &health) => {}
        () = backlog::run(&relay) => {}
        () = purge::run(&relay) => {}
        () = refused::run(&relay) => {}
        () = members::run(&relay) => {}
        () = watermark::run(&relay) => {}
        () = held_back::run(&relay) => {}
        () = obstacle::run(&relay) => {}
    }
    relay.source.close().await;
    Ok(())
}

/// Says "not ready" as soon as the process shall stop; the work decides when it does.
async fn drain(shutdown: &Shutdown, health: &Health) {
    shutdown.cancelled().await;
    health.drain();
    std::future::pending().await
}

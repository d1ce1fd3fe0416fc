//! ```text
//! Kafka ──read_committed──► projector ──one transaction──► MySQL
//! ```
//!
//! **Guarantee**: whatever arrives, how often and in whatever order, the rows end equal
//! to the documents. Offsets are committed only after MySQL's commit, so a record is
//! applied at least once; every write is guarded by the entity's version, so it counts
//! once. A record that can never be applied goes to the dead-letter topic, and an outage
//! is never taken for one.
//!
//! It never reads MongoDB, and never writes a topic other than `dead-letter`.
//!
//! The stages, each a file: [`consume`] ─► [`decode`] into a [`batch`] ─► [`plan`] (pure)
//! ─► [`settle`], which [`apply`]s it to MySQL and sends [`dead_letter`]s ─► commit. The
//! loop is in [`pipeline`]. [`tables`] and [`schema`] are also what the operator's tools
//! compare rows with.

pub mod apply;
mod attempt;
pub mod batch;
pub mod blockade;
mod bury;
mod checkup;
mod commits;
pub mod config;
pub mod consume;
mod consumer_properties;
pub mod database;
pub mod dead_letter;
pub mod decode;
mod drift;
mod expected;
mod fencing;
mod fit;
mod found;
mod group;
mod judge;
pub mod kafka;
pub mod lag;
mod letter_topic;
mod locate;
mod locator;
mod look;
mod losses;
pub mod metrics;
pub mod migrate;
pub mod newest;
pub mod pipeline;
mod places;
pub mod plan;
pub mod poison;
mod positions;
mod prepare;
mod quiet;
pub mod rebuild;
mod recall;
mod receive;
pub mod record;
pub mod refusal;
pub mod schema;
pub mod settle;
mod strand;
pub mod tables;
mod thread;
mod work;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::process::{
    Dependency, Failure, Health, Interrupted, RetryPolicy, Shutdown, registry, retry, serve_ops,
};

use crate::blockade::Blockade;
use crate::config::Config;
use crate::consume::Source;
use crate::database::DatabaseError;
use crate::dead_letter::DeadLetters;
use crate::judge::InARow;
use crate::metrics::Metrics;
use crate::pipeline::PipelineError;
use crate::recall::Recall;
use crate::settle::Settler;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("metrics and health: {0}")]
    Ops(#[from] std::io::Error),
    #[error("kafka settings: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error("database: {0}")]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// The whole process, until `shutdown`. Servers that are absent are awaited.
///
/// # Errors
/// Where the settings are not usable, the address is taken, or a part broke for good.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let health = Health::default();
    let registry = registry(&health)?;
    let metrics = Metrics::new(&registry)?;
    let parts = Parts::new(&config, &health, &metrics, &shutdown)?;

    // Health is served to the very end, and says "draining" meanwhile.
    let served_until = Shutdown::new();
    let mut ops =
        tokio::spawn(serve_ops(config.addr, health.clone(), registry, served_until.clone()));
    let draining = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            health.drain();
        }
    });
    let result = tokio::select! {
        served = &mut ops => return Err(ended(served)),
        result = parts.run(&config, shutdown) => result,
    };
    draining.abort();
    served_until.cancel();
    match ops.await {
        Ok(Ok(())) => result,
        served => result.and(Err(ended(served))),
    }
}

/// Why health is no longer served, although nobody asked it to end.
fn ended(served: Result<std::io::Result<()>, tokio::task::JoinError>) -> Error {
    Error::Ops(match served {
        Ok(Ok(())) => std::io::Error::other("ended"),
        Ok(Err(error)) => error,
        Err(error) => std::io::Error::other(error),
    })
}

/// What is built before any server has to be there.
struct Parts {
    settler: Settler,
    metrics: Metrics,
}

impl Parts {
    fn new(
        config: &Config,
        health: &Health,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> Result<Self, Error> {
        let kafka = health.dependency("kafka");
        let mysql = health.dependency("mysql");
        let settler = Settler {
            mysql_settings: config.mysql.clone(),
            apply_timeout: Duration::from_secs(config.apply_timeout_seconds.into()),
            mysql,
            kafka,
            dead_letters: DeadLetters::new(&config.kafka, config.dead_letter_replication)?,
            recall: Recall::new(&config.kafka),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            blockade: Blockade::new(metrics.blocked.clone()),
            in_a_row: InARow::new(config.refusals_in_a_row),
            writer: None,
            floors: BTreeMap::new(),
        };
        Ok(Self { settler, metrics: metrics.clone() })
    }

    async fn run(self, config: &Config, shutdown: Shutdown) -> Result<(), Error> {
        let servers = (&self.settler.mysql, &self.settler.kafka);
        match prepare(config, &shutdown, servers, &self.settler.dead_letters).await {
            Ok(()) => {}
            Err(Interrupted::Shutdown) => return Ok(()),
            Err(Interrupted::Permanent(error)) => return Err(error),
        }
        let limits = config.limits();
        let Self { settler, metrics } = self;
        let (kafka, mysql) = (settler.kafka.clone(), settler.mysql.clone());
        let source = Source::new(config, metrics, kafka, mysql)?;
        Ok(pipeline::run(source, settler, limits, shutdown).await?)
    }
}

/// Waits for both servers, and brings the schema and the dead-letter topic into being.
async fn prepare(
    config: &Config,
    shutdown: &Shutdown,
    (mysql, kafka): (&Dependency, &Dependency),
    dead_letters: &DeadLetters,
) -> Result<(), Interrupted<Error>> {
    let always = |_: &Error| Failure::Transient;
    let schema = retry(RetryPolicy::default(), shutdown, mysql, always, || async {
        Ok(database::prepare(&config.mysql).await?)
    });
    let topic = retry(RetryPolicy::default(), shutdown, kafka, always, || async {
        Ok(dead_letters.ensure_topic().await?)
    });
    tokio::try_join!(schema, topic).map(|_| ())
}

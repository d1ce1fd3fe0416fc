use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use shared::process::{GroupSettings, KafkaSettings, LogSettings, MysqlSettings};

use crate::pipeline::Limits;

/// Kafka to MySQL, idempotently.
///
/// Keeps the tables of the analytics database equal to the documents that the events
/// describe. Any number of instances share the work.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub kafka: KafkaSettings,

    #[command(flatten)]
    pub group: GroupSettings,

    /// Milliseconds without a heartbeat after which the brokers give an instance's
    /// partitions to others.
    #[arg(long, env = "KAFKA_SESSION_TIMEOUT_MS", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1_000..=300_000), help_heading = "Kafka")]
    pub kafka_session_timeout_ms: u32,

    /// Milliseconds without a poll after which an instance counts as stuck. It polls
    /// on while MySQL is away, so this need not cover an outage. A rebalance waits as long
    /// for an instance that does not answer.
    #[arg(long, env = "KAFKA_MAX_POLL_INTERVAL_MS", default_value_t = 30_000,
        value_parser = clap::value_parser!(u32).range(2_000..=86_400_000), help_heading = "Kafka")]
    pub kafka_max_poll_interval_ms: u32,

    /// Name of this instance, the same after each restart and never another's. The group then
    /// keeps an instance's partitions for it while it restarts, up to the session's timeout,
    /// instead of dividing them anew; one that is gone for good is missed as long. Unset: an
    /// instance that stops gives its partitions away at once, and one that was killed waits
    /// for its own former session.
    #[arg(long, env = "PROJECTOR_INSTANCE_ID", value_parser = clap::builder::NonEmptyStringValueParser::new(),
        help_heading = "Kafka")]
    pub projector_instance_id: Option<String>,

    /// Copies of the dead-letter topic, where it has to be created. -1: as the cluster says.
    #[arg(long, env = "DEAD_LETTER_REPLICATION", default_value_t = -1,
        value_parser = clap::value_parser!(i32).range(-1..=32_767),
        allow_negative_numbers = true, help_heading = "Kafka")]
    pub dead_letter_replication: i32,

    #[command(flatten)]
    pub mysql: MysqlSettings,

    /// Most events in one transaction. Batches grow towards it only under a backlog.
    #[arg(long, env = "PROJECTOR_BATCH_EVENTS", default_value_t = 20_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Batches")]
    pub batch_events: u32,

    /// Most bytes of events in one transaction. Twice this much is held at most: one
    /// batch being applied, one gathering.
    #[arg(long, env = "PROJECTOR_BATCH_BYTES", default_value_t = 7 * 512 * 1024,
        value_parser = clap::value_parser!(u32).range(1_024..=64 * 1024 * 1024), help_heading = "Batches")]
    pub batch_bytes: u32,

    /// Seconds after which a transaction is given up and tried in halves.
    #[arg(long, env = "PROJECTOR_APPLY_TIMEOUT_SECONDS", default_value_t = 120,
        value_parser = clap::value_parser!(u32).range(1..=3_600), help_heading = "Batches")]
    pub apply_timeout_seconds: u32,

    /// After so many refusals in a row with the same error, and nothing applied in
    /// between, MySQL's refusals count as an outage: no more records become dead letters.
    /// 0: never.
    #[arg(
        long,
        env = "PROJECTOR_REFUSALS_IN_A_ROW",
        default_value_t = 100,
        help_heading = "Batches"
    )]
    pub refusals_in_a_row: u32,

    /// Where /live, /ready and /metrics are served.
    #[arg(long, env = "PROJECTOR_ADDR", default_value = "0.0.0.0:9102")]
    pub addr: SocketAddr,

    #[command(flatten)]
    pub log: LogSettings,
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        let group_patience = Duration::from_millis(self.kafka_max_poll_interval_ms.into());
        Limits {
            events: self.batch_events as usize,
            bytes: self.batch_bytes as usize,
            full_for: (group_patience / 4).min(Duration::from_secs(2)),
        }
    }
}

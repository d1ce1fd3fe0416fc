use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum, value_parser};
use shared::Shard;
use shared::outbox::MAX_PAYLOAD_BYTES;
use shared::process::{GroupSettings, KafkaSettings, LogSettings, MongoSettings};

use crate::properties::{Properties, RefusedProperty};

/// Publishes the outbox collection's change stream to Kafka: each event exactly
/// once to a read_committed reader, in the order of its entity's versions.
///
/// Any librdkafka property can be set as KAFKA_PRODUCER_<PROPERTY>, its dots as
/// underscores: KAFKA_PRODUCER_SECURITY_PROTOCOL=SASL_SSL, KAFKA_PRODUCER_SASL_MECHANISM,
/// KAFKA_PRODUCER_SASL_USERNAME, KAFKA_PRODUCER_SASL_PASSWORD,
/// KAFKA_PRODUCER_SSL_CA_LOCATION, ... What would break a promise is refused. TLS to
/// MongoDB is part of MONGODB_URL: tls=true&tlsCAFile=...
#[derive(Debug, Clone, Parser)]
#[command(name = "relay", version)]
pub struct Config {
    #[command(flatten)]
    pub log: LogSettings,

    #[command(flatten)]
    pub mongo: MongoSettings,

    #[command(flatten)]
    pub kafka: KafkaSettings,

    /// Whose committed offsets tell what is applied; see [`crate::watermark`].
    #[command(flatten)]
    pub group: GroupSettings,

    /// From KAFKA_PRODUCER_<PROPERTY>; see [`Config::load`].
    #[arg(skip)]
    pub kafka_properties: Properties,

    /// Where /live, /ready and /metrics are served.
    #[arg(long, env = "RELAY_ADDR", default_value = "0.0.0.0:9101")]
    pub relay_addr: SocketAddr,

    /// Partitions of each event topic that the relay creates. A topic that exists
    /// is left as it is: another number would break the order of its entities.
    #[arg(long, env = "RELAY_TOPIC_PARTITIONS", default_value_t = 6,
          value_parser = value_parser!(i32).range(1..=1000), help_heading = "Topics")]
    pub topic_partitions: i32,

    /// Copies of each topic that the relay creates, the checkpoint topic included.
    #[arg(long, env = "RELAY_TOPIC_REPLICATION", default_value_t = 1,
          value_parser = value_parser!(i32).range(1..=100), help_heading = "Topics")]
    pub topic_replication: i32,

    /// Compacted topic that holds the checkpoints. KAFKA_TOPIC_PREFIX goes before it.
    #[arg(
        long,
        env = "RELAY_CHECKPOINT_TOPIC",
        default_value = "outbox-relay-checkpoint",
        help_heading = "Topics"
    )]
    pub checkpoint_topic: String,

    /// Which part of the outbox this relay publishes, as i/n: relay i of n, from 0/2 on.
    /// All n must run. To change n: stop the writes, wait until the lag of all is 0,
    /// stop all, start the new ones. Anything else is refused.
    #[arg(long, env = "RELAY_SHARD", default_value_t = Shard::WHOLE, help_heading = "Publishing")]
    pub shard: Shard,

    /// Most events in one Kafka transaction.
    #[arg(long, env = "RELAY_BATCH_EVENTS", default_value_t = 20_000,
          value_parser = value_parser!(u32).range(1..=50_000), help_heading = "Publishing")]
    pub batch_events: u32,

    /// Shortest time from the beginning of one transaction to that of the next, milliseconds,
    /// as long as less than a portion waits. 0 is the fastest: each transaction begins when
    /// the one before it ends. With 100, at 200 events a second, the relay and the projector
    /// take a fraction of the CPU, and an event comes up to 100 ms later; the first one after
    /// a pause does not.
    #[arg(long, env = "RELAY_TRANSACTION_INTERVAL_MS", default_value_t = 0,
          value_parser = value_parser!(u32).range(0..=10_000), help_heading = "Publishing")]
    pub transaction_interval_ms: u32,

    /// Most bytes that are handed to Kafka at a time; a backlog's transaction takes many
    /// such portions. Six of them and what librdkafka holds back (1 MiB) bound the relay's
    /// memory. A single event may exceed it, alone in its portion.
    #[arg(long, env = "RELAY_BATCH_BYTES", default_value_t = 1 << 19,
          value_parser = value_parser!(u32).range(1024..=64 << 20), help_heading = "Publishing")]
    pub batch_bytes: u32,

    /// Largest event in bytes that is handed to Kafka; larger ones go to `outbox_dead`.
    /// The topics the relay creates accept it; existing ones may accept less.
    #[arg(long, env = "RELAY_EVENT_MAX_BYTES", default_value_t = MAX_PAYLOAD_BYTES as u32,
          value_parser = value_parser!(u32).range(1024..=32 << 20), help_heading = "Publishing")]
    pub event_max_bytes: u32,

    /// How long published events stay in the outbox, as in 90s, 30m, 24h or 7d. What is
    /// not published stays, however old. A relay that has lost its place can tell what
    /// it missed for as long.
    #[arg(long, env = "OUTBOX_RETENTION", default_value = "24h", value_parser = duration, help_heading = "Publishing")]
    pub outbox_retention: Duration,

    /// Compression of the records.
    #[arg(
        long,
        env = "RELAY_COMPRESSION",
        value_enum,
        default_value = "none",
        help_heading = "Publishing"
    )]
    pub compression: Compression,

    /// Longest that a Kafka transaction may stay open, in milliseconds. A relay that
    /// vanishes holds read_committed readers back for at most this long, unless another
    /// one starts earlier.
    #[arg(long, env = "RELAY_TRANSACTION_TIMEOUT_MS", default_value_t = 20_000,
          value_parser = value_parser!(u32).range(1_000..=900_000), help_heading = "Publishing")]
    pub transaction_timeout_ms: u32,
}

/// A whole number and its unit: s, m, h or d.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err("expected a unit, as in 90s, 30m, 24h or 7d".to_owned()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|error| format!("{error}"))?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds <= 100 * 365 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "more than a hundred years".to_owned())
}

impl Config {
    pub fn transaction_interval(&self) -> Duration {
        Duration::from_millis(self.transaction_interval_ms.into())
    }

    /// From the command line and the environment.
    ///
    /// # Errors
    /// Where a KAFKA_PRODUCER_ variable is refused; see [`Properties`]. What clap refuses
    /// ends the process.
    pub fn load() -> Result<Self, RefusedProperty> {
        let kafka_properties = Properties::from_variables(std::env::vars())?;
        Ok(Self { kafka_properties, ..Self::parse() })
    }

    /// The largest Kafka record in bytes: an event with its key and headers.
    pub fn largest_record(&self) -> u32 {
        self.event_max_bytes + 4096
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Lz4,
}

impl Compression {
    pub fn codec(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_settings_are_consistent() {
        Config::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "5", "h", "-1s", "1.5h", "1w", "99999999d"] {
            assert!(duration(text).is_err(), "{text:?} was taken for a duration");
        }
    }

    #[test]
    fn a_number_out_of_range_is_refused_by_name() {
        let error = Config::try_parse_from(["relay", "--batch-events", "0"]).unwrap_err();
        assert!(error.to_string().contains("--batch-events"), "{error}");
    }
}

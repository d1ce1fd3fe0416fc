use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use prometheus::IntGauge;
use shared::process::{ConnectionLimits, LogSettings, MongoSettings};

use crate::auth::AuthSettings;
use crate::http::Bounds;
use crate::http::browsers::Origins;
use crate::store::GroupLimits;

/// Bytes that one transaction may send: well below what MongoDB takes in a message.
const GROUP_BYTES: usize = 12 * 1024 * 1024;

/// Bytes of all writes that wait, in a burst of the largest documents.
const QUEUE_BYTES: usize = 96 * 1024 * 1024;

/// REST API of the social-commerce backend: writes each document and its outbox
/// event in one MongoDB transaction.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Config {
    /// Address for REST, /metrics, /live and /ready.
    #[arg(long, env = "API_ADDR", default_value = "0.0.0.0:8000")]
    pub addr: SocketAddr,

    /// How many threads serve requests. Default: half of the cores. A request takes a
    /// twentieth of a millisecond of one, and threads that wake one another cost more than
    /// they help: MongoDB is the limit.
    #[arg(long, env = "API_THREADS")]
    pub threads: Option<NonZeroUsize>,

    /// How many passwords are hashed at once, each for about 50 ms of one core and
    /// with 19 MiB. Default: half of the cores, so that a burst of sign-ups leaves
    /// the others for everybody else.
    #[arg(long, env = "API_HASH_THREADS")]
    pub hash_threads: Option<NonZeroUsize>,

    /// How many sign-ups may wait for a hash; more are answered RATE_LIMITED.
    #[arg(long, env = "API_HASH_QUEUE", default_value_t = 256)]
    pub hash_queue: usize,

    /// Longest time, in seconds, that a request waits for MongoDB before it is
    /// answered 503 with Retry-After.
    #[arg(long, env = "API_MONGODB_TIMEOUT", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=60))]
    pub mongodb_timeout: u64,

    /// How many writes may share one MongoDB transaction. 1 gives each its own.
    #[arg(long, env = "API_GROUP_COMMIT_MAX", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub group_commit_max: u16,

    /// How many such transactions may be in flight at once; beside the first only those
    /// of at least half as many writes as may share one.
    #[arg(long, env = "API_GROUP_COMMIT_IN_FLIGHT", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=16))]
    pub group_commit_in_flight: u16,

    /// How many writes may wait for their transaction; more are answered 503.
    #[arg(long, env = "API_COMMIT_QUEUE", default_value_t = 2048,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub commit_queue: u32,

    /// Longest time, in seconds, that requests in flight get to finish after that.
    #[arg(long, env = "API_DRAIN_TIMEOUT", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub drain_timeout: u64,

    /// How long, in seconds, the api goes on serving after SIGTERM, with /ready already 503, so
    /// that load balancers learn in time that it goes.
    #[arg(long, env = "API_DRAIN_DELAY", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_delay: u64,

    /// How many connections may be open; beyond it a new one takes the place of the one that
    /// has waited longest for a request. Fewer where the limit on open files is lower.
    #[arg(long, env = "API_MAX_CONNECTIONS", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Longest time, in seconds, that the head of a request may take to arrive; then its
    /// connection is closed.
    #[arg(long, env = "API_HEAD_TIMEOUT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub head_timeout: u64,

    /// Longest time, in seconds, that a connection may wait for its next request. Longer than
    /// a proxy in front keeps one, or the proxy sends into a connection that is being closed.
    #[arg(long, env = "API_IDLE_TIMEOUT", default_value_t = 75,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub idle_timeout: u64,

    /// Longest time, in seconds, in which a client takes nothing of an answer; then its
    /// connection is closed.
    #[arg(long, env = "API_WRITE_TIMEOUT", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub write_timeout: u64,

    /// How many requests may be in flight; more are answered 503 with Retry-After.
    #[arg(long, env = "API_MAX_IN_FLIGHT", default_value_t = 2048,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_in_flight: u32,

    /// Longest time, in seconds, that the body of a request may take to arrive; then it
    /// is answered 408.
    #[arg(long, env = "API_BODY_TIMEOUT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub body_timeout: u64,

    /// Longest time, in seconds, that a request may take as a whole; then it is answered
    /// 503 with Retry-After.
    #[arg(long, env = "API_REQUEST_TIMEOUT", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub request_timeout: u64,

    /// Origins whose pages may call from a browser, separated by commas, or *. Without
    /// it none may.
    #[arg(long, env = "API_CORS_ORIGINS")]
    pub cors_origins: Option<Origins>,

    #[command(flatten)]
    pub auth: AuthSettings,

    #[command(flatten)]
    pub mongodb: MongoSettings,

    #[command(flatten)]
    pub log: LogSettings,
}

impl Config {
    pub fn mongodb_timeout(&self) -> Duration {
        Duration::from_secs(self.mongodb_timeout)
    }

    pub fn threads(&self) -> usize {
        self.threads.map_or_else(half_of_the_cores, usize::from)
    }

    pub fn hash_threads(&self) -> usize {
        self.hash_threads.map_or_else(half_of_the_cores, usize::from)
    }

    pub fn group_limits(&self) -> GroupLimits {
        GroupLimits {
            writes: usize::from(self.group_commit_max),
            bytes: GROUP_BYTES,
            queue: self.commit_queue as usize,
            queue_bytes: QUEUE_BYTES,
            in_flight: usize::from(self.group_commit_in_flight),
        }
    }

    pub fn bounds(&self, in_flight: IntGauge) -> Bounds {
        Bounds::new(
            self.max_in_flight as usize,
            Duration::from_secs(self.body_timeout),
            Duration::from_secs(self.request_timeout),
            in_flight,
        )
    }

    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.max_connections as usize,
            head: Duration::from_secs(self.head_timeout),
            idle: Duration::from_secs(self.idle_timeout),
            write: Duration::from_secs(self.write_timeout),
        }
    }

    pub fn drain_delay(&self) -> Duration {
        Duration::from_secs(self.drain_delay)
    }

    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout)
    }
}

fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2)
}

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Parser;
use shared::process::{LogSettings, MongoSettings};

/// REST API of the social-commerce backend: writes each document and its outbox
/// event in one MongoDB transaction.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Config {
    /// Address for REST, /metrics, /live and /ready.
    #[arg(long, env = "API_ADDR", default_value = "0.0.0.0:8000")]
    pub addr: SocketAddr,

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

    /// Longest time, in seconds, that requests in flight get to finish after SIGTERM.
    #[arg(long, env = "API_DRAIN_TIMEOUT", default_value_t = 15,
          value_parser = clap::value_parser!(u64).range(1..=300))]
    pub drain_timeout: u64,

    #[command(flatten)]
    pub mongodb: MongoSettings,

    #[command(flatten)]
    pub log: LogSettings,
}

impl Config {
    pub fn mongodb_timeout(&self) -> Duration {
        Duration::from_secs(self.mongodb_timeout)
    }

    pub fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout)
    }
}

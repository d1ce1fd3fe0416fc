//! Tells a member that is fenced by its own former life from one that shares its name.

use std::time::{Duration, Instant};

use crate::config::Config;

/// A member learns of a fencing by a heartbeat, of which there are three a session.
const SESSIONS: u32 = 10;

/// Fencings within the last [`SESSIONS`].
///
/// If Kafka was away, a late request of the former membership may fence a member once.
/// Another projector of the same name fences it again and again.
pub(crate) struct Fencings {
    lately: Duration,
    at: Vec<Instant>,
}

impl Fencings {
    /// So many are another projector's doing.
    pub(crate) const BY_ANOTHER: usize = 3;

    pub(crate) fn new(config: &Config) -> Self {
        let session = Duration::from_millis(config.kafka_session_timeout_ms.into());
        Self { lately: session * SESSIONS, at: Vec::new() }
    }

    /// Notes one more, and returns how many there were lately.
    pub(crate) fn count(&mut self) -> usize {
        self.at.retain(|at| at.elapsed() < self.lately);
        self.at.push(Instant::now());
        self.at.len()
    }
}

//! Patience with a server that goes away while a command is at work.

use std::fmt::Display;
use std::time::{Duration, Instant};

use shared::process::RetryPolicy;

/// A server may stay away for so long before the command gives up.
const LONGEST: Duration = Duration::from_secs(300);

const AGAIN: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(5) };

/// How often an outage that lasts is told.
const REMINDER: Duration = Duration::from_secs(30);

/// One attempt and its repetitions. It is made anew for each piece of work, so that the
/// limit is for one outage, not for all of them together.
pub struct Patience {
    server: &'static str,
    started: Instant,
    waits: Box<dyn Iterator<Item = Duration> + Send>,
    told: Option<(String, Instant)>,
}

impl Patience {
    pub fn with(server: &'static str) -> Self {
        Self { server, started: Instant::now(), waits: Box::new(AGAIN.waits()), told: None }
    }

    /// Returns when it is time for the next attempt, and tells the operator what it waits for.
    ///
    /// # Errors
    /// The error itself, once [`LONGEST`] has passed.
    pub async fn wait<E: Display>(&mut self, error: E) -> Result<(), E> {
        if self.started.elapsed() > LONGEST {
            return Err(error);
        }
        let text = error.to_string();
        let is_known = |(told, at): &(String, Instant)| *told == text && at.elapsed() < REMINDER;
        if !self.told.as_ref().is_some_and(is_known) {
            tracing::warn!(
                server = self.server,
                error = text,
                "trying again, for at most {} min",
                LONGEST.as_secs() / 60
            );
            self.told = Some((text, Instant::now()));
        }
        tokio::time::sleep(self.waits.next().unwrap_or(AGAIN.max)).await;
        Ok(())
    }
}

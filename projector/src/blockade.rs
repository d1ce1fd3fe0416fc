//! What keeps the batch in hand from being settled: in `/ready`, in a metric and, every
//! minute, in the log.

use std::time::{Duration, Instant};

use prometheus::IntGaugeVec;
use shared::process::Dependency;

const SAID_EVERY: Duration = Duration::from_secs(60);

/// Label of `projector_blocked` and of `projector_apply_retries_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// MySQL cannot be reached or cannot write.
    Away,
    /// Deadlocks and locks.
    Busy,
    /// The tables are not those that the projector writes.
    Schema,
    /// MySQL refuses a record that fits the tables, or one record after the other.
    Refused,
    /// A transaction takes too long.
    Slow,
    /// The dead-letter topic does not take a letter.
    DeadLetter,
}

impl Cause {
    pub const ALL: [Self; 6] =
        [Self::Away, Self::Busy, Self::Schema, Self::Refused, Self::Slow, Self::DeadLetter];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Schema => "schema",
            Self::Refused => "refused",
            Self::Slow => "slow",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// At most one cause at a time stands in the way.
pub struct Blockade {
    gauge: IntGaugeVec,
    standing: Option<(Cause, Instant)>,
}

impl Blockade {
    pub fn new(gauge: IntGaugeVec) -> Self {
        Self { gauge, standing: None }
    }

    /// `server` is the one that does not do what it is asked, and `reason` what an operator
    /// needs to know; it must not quote a record.
    pub fn stand(&mut self, cause: Cause, server: &Dependency, reason: &str) {
        let before = self.standing;
        server.down(reason);
        let is_due = match before {
            // `down` has said it.
            None => false,
            Some((other, _)) if other != cause => true,
            Some((_, said)) => said.elapsed() >= SAID_EVERY,
        };
        if is_due {
            let cause = cause.as_str();
            tracing::warn!(cause, reason, "the batch in hand cannot be settled: trying again");
        }
        match before {
            Some((other, _)) if other == cause && !is_due => {}
            _ => self.standing = Some((cause, Instant::now())),
        }
        for each in Cause::ALL {
            self.gauge.with_label_values(&[each.as_str()]).set((each == cause).into());
        }
    }

    pub fn lift(&mut self, server: &Dependency) {
        if let Some((cause, _)) = self.standing.take() {
            self.gauge.with_label_values(&[cause.as_str()]).set(0);
        }
        server.up();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;
    use shared::process::Health;

    use super::*;

    #[test]
    fn one_cause_stands_at_a_time() {
        let gauge = IntGaugeVec::new(Opts::new("blocked", "b"), &["cause"]).unwrap();
        let health = Health::default();
        let server = health.dependency("mysql");
        let mut blockade = Blockade::new(gauge.clone());
        let value = |cause: Cause| gauge.with_label_values(&[cause.as_str()]).get();
        blockade.stand(Cause::Away, &server, "gone");
        blockade.stand(Cause::Schema, &server, "posts.x: missing");
        assert_eq!((value(Cause::Away), value(Cause::Schema)), (0, 1));
        assert!(!health.is_ready());
        blockade.lift(&server);
        assert_eq!(Cause::ALL.map(value), [0; 6]);
        assert!(health.is_ready());
    }
}

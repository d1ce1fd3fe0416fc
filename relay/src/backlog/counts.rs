//! What was counted at the source, and the metrics that tell it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use shared::Timestamp;

use crate::lag::{Lag, Reading, gauges, seconds_since};

/// A count is reported for this long, or for twice the time until the next one.
const FRESH: Duration = Duration::from_secs(60);

/// Shared by the task that counts and the metrics. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    lag: Lag,
    state: Arc<Mutex<State>>,
    descriptions: Arc<Vec<Desc>>,
}

#[derive(Debug, Default)]
struct State {
    pending: Option<Pending>,
    dead: Option<(u64, Timestamp)>,
    /// As it was last read: it stays so until somebody repairs it.
    went_back: Option<bool>,
    rest: Duration,
}

/// Records in the outbox that are not known to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pending {
    pub events: u64,
    /// When the first of them occurred, by its writer's clock.
    pub oldest: Option<Timestamp>,
    pub measured_at: Timestamp,
}

impl Counts {
    /// # Errors
    /// Never in practice: the names are in order.
    pub fn new(lag: Lag) -> Result<Self, prometheus::Error> {
        let describe = |(name, help): (&str, &str)| {
            Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())
        };
        let all = [PENDING, OLDEST_PENDING, DEAD, WENT_BACK];
        let descriptions = all.into_iter().map(describe).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { lag, state: Arc::default(), descriptions: Arc::new(descriptions) })
    }

    /// `None` where it is not known what is acknowledged, or another relay knows.
    pub fn set_pending(&self, pending: Option<Pending>) {
        self.lock().pending = pending;
    }

    pub fn set_dead(&self, records: u64) {
        self.lock().dead = Some((records, Timestamp::now()));
    }

    pub fn set_went_back(&self, went_back: bool) {
        self.lock().went_back = Some(went_back);
    }

    /// The next count comes this much later.
    pub fn rest(&self, rest: Duration) {
        self.lock().rest = rest;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self, now: Timestamp) -> Vec<Reading> {
        let lag = self.lag.seconds(now);
        let state = self.lock();
        let lasting = FRESH.max(state.rest * 2).as_secs_f64();
        let is_fresh = |at: Timestamp| seconds_since(at, now) < lasting;
        let mut readings = Vec::new();
        if let Some(pending) = state.pending.filter(|pending| is_fresh(pending.measured_at)) {
            readings.push(Reading(PENDING, exact(pending.events)));
            readings.push(Reading(OLDEST_PENDING, oldest_age(&pending, lag, now)));
        }
        if let Some((records, _)) = state.dead.filter(|(_, at)| is_fresh(*at)) {
            readings.push(Reading(DEAD, exact(records)));
        }
        readings.extend(state.went_back.map(|it| Reading(WENT_BACK, f64::from(u8::from(it)))));
        readings
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 records")]
fn exact(records: u64) -> f64 {
    records as f64
}

/// Whatever is pending was committed after the proven moment. So its age is at most the
/// lag, however wrong the clock that wrote `occurred_at`.
fn oldest_age(pending: &Pending, lag: Option<f64>, now: Timestamp) -> f64 {
    if pending.events == 0 {
        return 0.0;
    }
    let age = pending.oldest.map(|oldest| seconds_since(oldest, now));
    match (age, lag) {
        (Some(age), Some(lag)) => age.min(lag),
        (age, lag) => age.or(lag).unwrap_or(0.0),
    }
}

const PENDING: (&str, &str) = (
    "relay_outbox_pending_events",
    "Records in the outbox collection that are not known to be acknowledged by Kafka, counted one by one at the source every few seconds. Absent where that is not known.",
);
const OLDEST_PENDING: (&str, &str) = (
    "relay_oldest_pending_event_age_seconds",
    "Age in seconds of the oldest record in the outbox collection that is not known to be acknowledged by Kafka; 0 if there is none.",
);
const DEAD: (&str, &str) = (
    "relay_outbox_dead_events",
    "Records in the outbox_dead collection, of all shards, counted one by one: Kafka will never take them.",
);
const WENT_BACK: (&str, &str) = (
    "relay_mongodb_went_back",
    "1 from the moment a relay finds that MongoDB lacks what the topics hold until `outboxctl verify --repair` has mended the versions, else 0.",
);

impl Collector for Counts {
    fn desc(&self) -> Vec<&Desc> {
        // Which of them there are depends on what is known.
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        gauges(self.readings(Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    fn reading(counts: &Counts, name: &str, now: Timestamp) -> Option<f64> {
        let readings = counts.readings(now);
        readings.iter().find(|Reading((found, _), _)| *found == name).map(|reading| reading.1)
    }

    #[test]
    fn what_was_never_counted_or_long_ago_is_absent() {
        let counts = Counts::default();
        for name in ["relay_outbox_pending_events", "relay_outbox_dead_events"] {
            assert_eq!(reading(&counts, name, at(0)), None);
        }
        assert_eq!(reading(&counts, "relay_mongodb_went_back", at(0)), None);
        counts.set_pending(Some(Pending { events: 3, oldest: None, measured_at: at(0) }));
        assert_eq!(reading(&counts, "relay_outbox_pending_events", at(59)), Some(3.0));
        assert_eq!(reading(&counts, "relay_outbox_pending_events", at(60)), None);
        counts.rest(Duration::from_secs(100));
        assert_eq!(reading(&counts, "relay_outbox_pending_events", at(199)), Some(3.0));
        counts.set_pending(None);
        assert_eq!(reading(&counts, "relay_outbox_pending_events", at(1)), None);
    }

    #[test]
    fn a_skewed_writer_makes_no_hour_out_of_a_second() {
        let lag = Lag::default();
        lag.prove(at(10_000));
        let counts = Counts::new(lag).unwrap();
        for skew in [-3_600, 3_600] {
            let oldest = Some(at(10_001 + skew));
            counts.set_pending(Some(Pending { events: 3, oldest, measured_at: at(10_002) }));
            let age = reading(&counts, "relay_oldest_pending_event_age_seconds", at(10_002));
            assert!((0.0..=2.0).contains(&age.unwrap()), "{skew}: {age:?}");
        }
    }

    #[test]
    fn that_mongodb_went_back_does_not_grow_old() {
        let counts = Counts::default();
        counts.set_went_back(true);
        assert_eq!(reading(&counts, "relay_mongodb_went_back", at(0)), Some(1.0));
        counts.set_went_back(false);
        assert_eq!(reading(&counts, "relay_mongodb_went_back", at(0)), Some(0.0));
    }
}

//! How far behind the relay is, truthfully: state that the pipeline moves, and
//! figures computed from it at the moment they are asked for. A relay that is stuck
//! moves nothing, so its lag grows by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts};
use shared::Timestamp;
use tokio::sync::Notify;

use crate::checkpoint::{Checkpoint, Progress};
use crate::landing::Landing;
use crate::position::ClusterTime;

/// Shared by the pipeline, which moves it, and the metrics, which read it.
#[derive(Debug, Clone, Default)]
pub struct Lag {
    state: Arc<Mutex<State>>,
    /// Something was said that whoever writes the watermark should know.
    moved: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// How often the position was given up.
    term: u64,
    /// Everything committed before this moment is acknowledged by Kafka.
    proven: Option<Timestamp>,
    /// Every event committed up to this cluster time is acknowledged.
    covered: Option<ClusterTime>,
    /// Where events were acknowledged, since that was last asked for.
    landed: Landing,
    /// The newest of them was committed then, and others may have been at the same time:
    /// their transaction's.
    unsettled: Option<ClusterTime>,
    settled: bool,
    /// When the newest checkpoint was written.
    checkpoint: Option<Timestamp>,
    /// Where it stands in the oplog, in seconds since 1970.
    position: Option<u32>,
    /// When the watermark was last written; at first, when it was first due.
    watermark: Option<Timestamp>,
    /// Where the oplog begins, in seconds since 1970.
    oplog_begin: Option<u32>,
}

/// What the watermark is made of.
#[derive(Debug)]
pub struct Advance {
    /// Another number: another session, which has no part in what was known before.
    pub term: u64,
    /// Every event committed up to it is acknowledged.
    pub through: ClusterTime,
    /// Where such events were acknowledged since the last time. Some may be later ones.
    pub landed: Landing,
    /// `through` has passed the newest acknowledged event since the last time.
    pub settled: bool,
}

impl Lag {
    /// Everything committed before `moment` is acknowledged. Never goes back: a proof
    /// stays a proof.
    pub fn prove(&self, moment: Timestamp) {
        let mut state = self.lock();
        state.proven = state.proven.max(Some(moment));
    }

    /// Nothing is known any more: it is another source than before, or another relay
    /// that leads.
    pub fn forget(&self) {
        let mut state = self.lock();
        *state = State { term: state.term + 1, ..State::default() };
    }

    /// Nothing is known of the position until it is established again: the database may
    /// have gone back in time.
    pub fn uncover(&self) {
        let mut state = self.lock();
        state.term += 1;
        state.covered = None;
        (state.landed, state.unsettled, state.settled) = Default::default();
    }

    /// Every event committed up to `time` is acknowledged.
    pub fn cover(&self, time: ClusterTime) {
        let mut state = self.lock();
        state.covered = state.covered.max(Some(time));
        if state.unsettled.is_some_and(|newest| newest <= time) {
            state.unsettled = None;
            state.settled = true;
            self.moved.notify_one();
        }
    }

    /// Events were acknowledged, the last of them committed at `reached`. To be called
    /// before what that covers.
    pub fn land(&self, landed: Landing, reached: Option<ClusterTime>) {
        if landed.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.landed.extend(landed);
        state.unsettled = state.unsettled.max(reached);
        self.moved.notify_one();
    }

    /// What is new for the watermark; `None` while no position is established.
    pub fn advance(&self) -> Option<Advance> {
        let mut state = self.lock();
        let through = state.covered?;
        Some(Advance {
            term: state.term,
            through,
            landed: std::mem::take(&mut state.landed),
            settled: std::mem::take(&mut state.settled),
        })
    }

    /// There is something new for the watermark, which is not kept here.
    pub fn tell(&self) {
        self.moved.notify_one();
    }

    /// Waits until there is something new for the watermark.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    pub fn covered(&self) -> Option<ClusterTime> {
        self.lock().covered
    }

    /// The newest moment whose events are acknowledged, as far as known: others may have been
    /// committed in the same one.
    pub fn reached(&self) -> Option<ClusterTime> {
        let state = self.lock();
        state.covered.max(state.unsettled.filter(|_| state.covered.is_some()))
    }

    pub fn proven(&self) -> Option<Timestamp> {
        self.lock().proven
    }

    pub fn checkpointed(&self, checkpoint: &Checkpoint) {
        let mut state = self.lock();
        state.checkpoint = Some(checkpoint.written_at);
        state.position = match &checkpoint.progress {
            Progress::At(position) => Some(position.time.seconds),
            Progress::Recovering { .. } => None,
        };
    }

    /// A position is established: a watermark is due.
    pub fn watermark_is_due(&self) {
        self.lock().watermark.get_or_insert_with(Timestamp::now);
    }

    pub fn watermark_written(&self, at: Timestamp) {
        self.lock().watermark = Some(at);
    }

    /// `None` where it may not be read.
    pub fn set_oplog_begin(&self, seconds: Option<u32>) {
        self.lock().oplog_begin = seconds;
    }

    /// In seconds; `None` is unknown. Clocks of two machines may disagree: a moment that
    /// lies in our future counts as now.
    pub fn seconds(&self, now: Timestamp) -> Option<f64> {
        self.lock().proven.map(|moment| seconds_since(moment, now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readings(&self, now: Timestamp) -> Vec<Reading> {
        let state = self.lock();
        let lag = state.proven.map(|moment| seconds_since(moment, now));
        let mut readings = vec![Reading(LAG_KNOWN, if lag.is_some() { 1.0 } else { 0.0 })];
        readings.extend(lag.map(|seconds| Reading(LAG, seconds)));
        readings.extend(state.checkpoint.map(|at| Reading(CHECKPOINT_AGE, seconds_since(at, now))));
        readings.extend(state.watermark.map(|at| Reading(WATERMARK_AGE, seconds_since(at, now))));
        if let (Some(position), Some(begin)) = (state.position, state.oplog_begin) {
            readings.push(Reading(HEADROOM, f64::from(position) - f64::from(begin)));
        }
        readings
    }
}

pub fn seconds_since(moment: Timestamp, now: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285,000 years")]
    let millis = (now.millis() - moment.millis()).max(0) as f64;
    millis / 1000.0
}

/// A metric's name and help, and its value now.
pub struct Reading(pub (&'static str, &'static str), pub f64);

const LAG: (&str, &str) = (
    "relay_lag_seconds",
    "Now minus the newest moment for which it is proven that everything committed before it is acknowledged by Kafka. Absent while unknown.",
);
const LAG_KNOWN: (&str, &str) =
    ("relay_lag_known", "1 if relay_lag_seconds is known, 0 before the first proof.");
const CHECKPOINT_AGE: (&str, &str) = (
    "relay_checkpoint_age_seconds",
    "Seconds since the newest checkpoint was written. Absent before the first.",
);
const WATERMARK_AGE: (&str, &str) = (
    "relay_watermark_age_seconds",
    "Seconds since the watermark was written to MongoDB, or since the first one was due. Absent on a standby.",
);
const HEADROOM: (&str, &str) = (
    "relay_oplog_headroom_seconds",
    "Seconds of the oplog that lie before the checkpoint: at 0 its resume token is lost. Absent where the oplog may not be read.",
);
impl Collector for Lag {
    fn desc(&self) -> Vec<&Desc> {
        // An unchecked collector: which of its metrics there are depends on what is known.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        gauges(self.readings(Timestamp::now()))
    }
}

/// As a collector tells them.
pub fn gauges(readings: Vec<Reading>) -> Vec<MetricFamily> {
    let gauge = |Reading((name, help), value)| {
        let gauge = Gauge::with_opts(Opts::new(name, help)).ok()?;
        gauge.set(value);
        Some(gauge.collect())
    };
    readings.into_iter().filter_map(gauge).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    fn reading(lag: &Lag, name: &str, now: Timestamp) -> Option<f64> {
        let readings = lag.readings(now);
        readings.iter().find(|Reading((found, _), _)| *found == name).map(|reading| reading.1)
    }

    #[test]
    fn unknown_is_absent_and_never_zero() {
        let lag = Lag::default();
        assert_eq!(reading(&lag, "relay_lag_known", at(10)), Some(0.0));
        assert_eq!(reading(&lag, "relay_lag_seconds", at(10)), None);
        lag.prove(at(4));
        assert_eq!(reading(&lag, "relay_lag_known", at(10)), Some(1.0));
        assert_eq!(reading(&lag, "relay_lag_seconds", at(10)), Some(6.0));
        lag.forget();
        assert_eq!(reading(&lag, "relay_lag_seconds", at(10)), None);
    }

    #[test]
    fn grows_by_itself_and_never_goes_back() {
        let lag = Lag::default();
        lag.prove(at(100));
        assert_eq!(lag.seconds(at(101)), Some(1.0));
        assert_eq!(lag.seconds(at(160)), Some(60.0));
        lag.prove(at(90));
        assert_eq!(lag.seconds(at(160)), Some(60.0), "an older proof takes nothing back");
        lag.prove(at(3_700));
        assert_eq!(lag.seconds(at(160)), Some(0.0), "a clock ahead of ours is not negative lag");
    }

    #[test]
    fn an_event_is_settled_once_its_own_moment_is_covered() {
        let time = |increment| ClusterTime { seconds: 9, increment };
        let lag = Lag::default();
        let mut landed = Landing::default();
        landed.note("user", 0, 4);
        assert!(lag.advance().is_none(), "no position yet");
        lag.land(landed.clone(), Some(time(7)));
        lag.cover(time(7).before());
        let advance = lag.advance().unwrap();
        assert_eq!((advance.through, advance.settled), (time(6), false));
        assert_eq!(advance.landed, landed);
        lag.cover(time(7));
        let advance = lag.advance().unwrap();
        assert_eq!((advance.through, advance.settled), (time(7), true));
        assert!(advance.landed.is_empty(), "told once");
        lag.cover(time(8));
        assert!(!lag.advance().unwrap().settled);
        lag.uncover();
        lag.cover(time(2));
        assert_eq!(lag.advance().unwrap().through, time(2), "another session, from its own start");
        assert_eq!(lag.advance().unwrap().term, 1);
    }

    #[test]
    fn a_watermark_that_was_never_written_grows_old_too() {
        let lag = Lag::default();
        let age = |now| reading(&lag, "relay_watermark_age_seconds", now);
        assert_eq!(age(at(10)), None, "it does not lead");
        lag.watermark_is_due();
        let due = Timestamp::now();
        let later = |seconds: i64| Timestamp::from_millis(due.millis() + seconds * 1000).unwrap();
        assert!(age(later(90)).unwrap() >= 90.0);
        lag.watermark_written(later(60));
        lag.watermark_is_due();
        assert_eq!(age(later(90)), Some(30.0));
        lag.forget();
        assert_eq!(age(later(90)), None);
    }
}

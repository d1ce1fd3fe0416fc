//! How far behind this instance is, in records and in seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts};

use crate::record::Partition;

/// What is known of each partition that this instance owns.
#[derive(Debug, Clone)]
pub struct Lag {
    partitions: Arc<Mutex<BTreeMap<Partition, Known>>>,
    gauge: IntGaugeVec,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Since when it is read. What librdkafka said before is of another assignment.
    since: Option<Instant>,
    /// The offset after the last record taken from Kafka, and after the last applied.
    taken: Option<i64>,
    applied: Option<i64>,
    /// What is older than this moment is in MySQL.
    fresh_as_of: Option<SystemTime>,
}

/// librdkafka takes up a new position a moment after it was told.
const TAKEN_UP: Duration = Duration::from_millis(100);

/// What librdkafka reports of a partition: all of one moment.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// That moment.
    pub at: Instant,
    /// Records in librdkafka's queue.
    pub queued: i64,
    /// The next offset to be asked for. Beyond the last record there may be the
    /// markers of transactions, which are never handed out: this counts them as read.
    pub next_offset: i64,
    /// The end of what a read_committed reader can see.
    pub end_offset: i64,
}

impl Lag {
    pub(crate) fn new(gauge: IntGaugeVec) -> Self {
        Self { partitions: Arc::default(), gauge }
    }

    pub(crate) fn assigned(&self, partition: Partition) {
        self.lock().insert(partition, Known::default());
    }

    /// Reading begins; all before `next_offset` is dealt with.
    pub(crate) fn located(&self, partition: &Partition, next_offset: i64) {
        if let Some(known) = self.lock().get_mut(partition) {
            (known.taken, known.applied) = (Some(next_offset), Some(next_offset));
            known.since = Some(Instant::now());
        }
    }

    pub(crate) fn revoked(&self, partition: &Partition) {
        self.lock().remove(partition);
        let number = partition.partition.to_string();
        // It is not there if no statistics came meanwhile.
        let _ = self.gauge.remove_label_values(&[&*partition.topic, number.as_str()]);
    }

    pub(crate) fn taken(&self, partition: &Partition, offset: i64) {
        if let Some(known) = self.lock().get_mut(partition) {
            known.taken = Some(offset + 1);
        }
    }

    pub(crate) fn applied(&self, partition: &Partition, offset: i64, moment: Option<SystemTime>) {
        if let Some(known) = self.lock().get_mut(partition) {
            known.applied = Some(offset + 1);
            known.fresh_as_of = known.fresh_as_of.max(moment);
        }
    }

    /// Brings the metrics up to date. Returns the offset up to which everything is
    /// applied, if that lies beyond the last record.
    pub(crate) fn fetched(&self, partition: &Partition, fetched: Fetched) -> Option<i64> {
        let mut partitions = self.lock();
        let known = partitions.get_mut(partition)?;
        let is_of_now = known.since.is_some_and(|since| fetched.at > since + TAKEN_UP);
        if fetched.end_offset < 0 || !is_of_now {
            return None; // not asked yet
        }
        let nothing_in_hand = known.taken == known.applied && fetched.queued == 0;
        let read = match known.applied {
            Some(_) if nothing_in_hand && fetched.next_offset >= 0 => fetched.next_offset,
            Some(applied) => applied,
            None => return None, // MySQL has not said yet where to read on
        };
        let lag = (fetched.end_offset - read).max(0);
        let number = partition.partition.to_string();
        self.gauge.with_label_values(&[&*partition.topic, number.as_str()]).set(lag);
        if lag == 0 && nothing_in_hand {
            known.fresh_as_of = Some(SystemTime::now());
        }
        known.applied.filter(|applied| nothing_in_hand && read > *applied).map(|_| read)
    }

    /// Seconds by which the partition that is worst off may lag behind now; `None`
    /// while that is not known of all of them.
    fn seconds(&self) -> Option<f64> {
        let now = SystemTime::now();
        let partitions = self.lock();
        let ages = partitions.values().map(|known| {
            let as_of = known.fresh_as_of?;
            // A clock that runs ahead of ours gives no negative age.
            Some(now.duration_since(as_of).unwrap_or_default().as_secs_f64())
        });
        let ages: Option<Vec<_>> = ages.collect();
        ages?.into_iter().reduce(f64::max)
    }

    /// Every assignment leaves the map whole, so a panic elsewhere cannot have harmed it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Known>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `projector_freshness_seconds`, computed when it is scraped: so it grows while
/// nothing moves. And of how many partitions it speaks, known or not.
pub(crate) struct Freshness {
    lag: Lag,
    gauge: Gauge,
    partitions: IntGauge,
}

impl Freshness {
    pub(crate) fn new(lag: Lag) -> prometheus::Result<Self> {
        let gauge = Gauge::with_opts(Opts::new(
            "projector_freshness_seconds",
            "Age of the newest moment before which everything is in MySQL, over this instance's \
             partitions; absent while it is not known.",
        ))?;
        let partitions = IntGauge::new(
            "projector_partitions",
            "Partitions that are assigned to this instance.",
        )?;
        Ok(Self { lag, gauge, partitions })
    }
}

impl Collector for Freshness {
    fn desc(&self) -> Vec<&Desc> {
        [self.gauge.desc(), self.partitions.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let partitions = self.lag.lock().len();
        self.partitions.set(i64::try_from(partitions).unwrap_or(i64::MAX));
        let mut families = self.partitions.collect();
        if let Some(seconds) = self.lag.seconds() {
            self.gauge.set(seconds);
            families.extend(self.gauge.collect());
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag() -> (Lag, Partition) {
        let gauge = IntGaugeVec::new(Opts::new("lag", "lag"), &["topic", "partition"]).unwrap();
        let lag = Lag::new(gauge);
        let partition = Partition { topic: "user".into(), partition: 3 };
        lag.assigned(partition.clone());
        (lag, partition)
    }

    fn fetched() -> Fetched {
        let at = Instant::now() + Duration::from_secs(1);
        Fetched { at, queued: 0, next_offset: 12, end_offset: 12 }
    }

    fn gauge(lag: &Lag) -> i64 {
        lag.gauge.with_label_values(&["user", "3"]).get()
    }

    #[test]
    fn what_is_taken_but_not_applied_counts() {
        let (lag, partition) = lag();
        lag.located(&partition, 10);
        lag.taken(&partition, 10);
        lag.applied(&partition, 10, None);
        lag.taken(&partition, 11);
        assert_eq!(lag.fetched(&partition, fetched()), None);
        assert_eq!(gauge(&lag), 1);
        assert_eq!(lag.seconds(), None, "nothing says how old the missing record is");
    }

    #[test]
    fn the_marker_of_a_transaction_is_no_lag() {
        let (lag, partition) = lag();
        lag.located(&partition, 10);
        lag.taken(&partition, 10);
        lag.applied(&partition, 10, Some(SystemTime::UNIX_EPOCH));
        assert!(lag.seconds().unwrap() > 1e9, "as old as the event");
        assert_eq!(lag.fetched(&partition, fetched()), Some(12));
        assert_eq!(gauge(&lag), 0);
        assert!(lag.seconds().unwrap() < 5.0, "everything up to now is applied");
    }

    #[test]
    fn a_partition_that_only_queues_lags_from_where_it_begins() {
        let (lag, partition) = lag();
        let queued = Fetched { queued: 7, ..fetched() };
        assert_eq!(lag.fetched(&partition, queued), None);
        assert_eq!(gauge(&lag), 0, "not known yet, so not said either");
        lag.located(&partition, 5);
        let stale = Fetched { at: Instant::now(), ..fetched() };
        assert_eq!(lag.fetched(&partition, stale), None, "of the assignment before");
        assert_eq!(lag.fetched(&partition, queued), None);
        assert_eq!(gauge(&lag), 7);
    }
}

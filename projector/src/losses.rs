//! Records that Kafka deleted before we had read them, in the log and in metrics.

use std::ops::Range;

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::record::Partition;
use crate::tables::LossRow;

#[derive(Debug, Clone)]
pub struct Losses {
    noticed: IntCounterVec,
    open: IntGaugeVec,
}

impl Losses {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let noticed = Opts::new(
            "projector_lost_records_total",
            "Offsets that Kafka deleted before this instance had read them, by topic and \
             partition: no fewer than the records that were lost.",
        );
        let open = Opts::new(
            "projector_unacknowledged_lost_records",
            "Lost offsets in projection_losses that nobody has acknowledged, of each partition \
             of this instance: once MySQL has said so.",
        );
        let labels = &["topic", "partition"];
        Ok(Self {
            noticed: IntCounterVec::new(noticed, labels)?,
            open: IntGaugeVec::new(open, labels)?,
        })
    }

    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.noticed.clone()))?;
        registry.register(Box::new(self.open.clone()))
    }

    pub(crate) fn noticed(&self, partition: &Partition, lost: &Range<i64>) {
        let count = lost.end - lost.start;
        let number = partition.partition.to_string();
        self.noticed.with_label_values(&[&*partition.topic, &number]).inc_by(count.unsigned_abs());
        tracing::error!(
            topic = &*partition.topic,
            partition = partition.partition,
            from = lost.start,
            to = lost.end,
            "records deleted unread: what they said is missing in MySQL"
        );
    }

    /// Of our partitions, as MySQL has them.
    pub(crate) fn set(&self, ours: &[&Partition], losses: &[LossRow]) {
        for partition in ours {
            let losses = losses.iter().filter(|loss| loss.is_of(partition));
            let lost: i64 = losses.map(|loss| loss.to_offset - loss.from_offset).sum();
            let number = partition.partition.to_string();
            self.open.with_label_values(&[&*partition.topic, &number]).set(lost);
            // A counter that first appears with its first loss shows Prometheus no increase.
            self.noticed.with_label_values(&[&*partition.topic, &number]);
        }
    }

    /// It is the next owner's to tell.
    pub(crate) fn forget(&self, partition: &Partition) {
        let number = partition.partition.to_string();
        // It is not there if MySQL had not answered yet.
        let _ = self.open.remove_label_values(&[&*partition.topic, number.as_str()]);
    }
}

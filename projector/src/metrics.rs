use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use shared::event::Domain;

use crate::blockade::Cause;
use crate::lag::{Freshness, Lag};
use crate::losses::Losses;
use crate::poison::Reason;

/// Seconds. From a lone event over the loopback to an outage.
const LATENCY_BUCKETS: [f64; 16] = [
    0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.035, 0.06, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
    300.0,
];

#[derive(Debug, Clone)]
pub struct Metrics {
    pub applied: IntCounterVec,
    pub stale: IntCounter,
    pub dead_letters: IntCounterVec,
    pub retries: IntCounterVec,
    pub blocked: IntGaugeVec,
    pub batch_size: Histogram,
    pub apply_seconds: Histogram,
    pub end_to_end_latency: Histogram,
    pub lag: Lag,
    pub losses: Losses,
    pub rewound: IntCounterVec,
    pub replaced: IntCounter,
}

impl Metrics {
    /// # Errors
    /// Where `registry` holds one of the names already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let consumer_lag = IntGaugeVec::new(
            Opts::new(
                "projector_consumer_lag",
                "Records of a partition assigned to this instance that are not yet in MySQL.",
            ),
            &["topic", "partition"],
        )?;
        let metrics = Self {
            applied: IntCounterVec::new(
                Opts::new(
                    "projector_applied_total",
                    "Events whose effect is in MySQL, by topic; those that a newer one of the same \
                     batch supersedes included.",
                ),
                &["topic"],
            )?,
            stale: IntCounter::new(
                "projector_stale_total",
                "Events that changed nothing because a row was already as new: repeated or late.",
            )?,
            dead_letters: IntCounterVec::new(
                Opts::new(
                    "projector_dead_letters_total",
                    "Records that can never be applied, sent to the dead-letter topic, by reason.",
                ),
                &["reason"],
            )?,
            retries: IntCounterVec::new(
                Opts::new(
                    "projector_apply_retries_total",
                    "Transactions attempted again, by cause: away (MySQL cannot be reached or \
                     cannot write), busy (deadlock, lock timeout), schema (the tables are not \
                     those that the projector writes), refused (MySQL refuses a record that \
                     fits the tables) or slow (longer than PROJECTOR_APPLY_TIMEOUT_SECONDS).",
                ),
                &["cause"],
            )?,
            blocked: IntGaugeVec::new(
                Opts::new(
                    "projector_blocked",
                    "1 while the batch in hand cannot be settled, by cause: those of \
                     projector_apply_retries_total (busy and slow after 10 s), and dead_letter \
                     (the dead-letter topic does not take a letter). /ready says more.",
                ),
                &["cause"],
            )?,
            batch_size: Histogram::with_opts(
                HistogramOpts::new(
                    "projector_batch_size",
                    "Records taken into one MySQL transaction.",
                )
                .buckets(vec![
                    1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0,
                    100_000.0,
                ]),
            )?,
            apply_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "projector_apply_seconds",
                    "Seconds from a batch in hand to its commit in MySQL, retries included.",
                )
                .buckets(LATENCY_BUCKETS.to_vec()),
            )?,
            end_to_end_latency: Histogram::with_opts(
                HistogramOpts::new(
                    "projector_end_to_end_latency_seconds",
                    "Seconds from an event's moment, when the API wrote it, to its commit in MySQL.",
                )
                .buckets(LATENCY_BUCKETS.to_vec()),
            )?,
            lag: Lag::new(consumer_lag.clone()),
            losses: Losses::new()?,
            rewound: IntCounterVec::new(
                Opts::new(
                    "projector_rewound_total",
                    "Partitions read again from an earlier offset, by topic and cause: mysql (it \
                     was restored, failed over, or emptied) or topic (it was deleted and created \
                     again).",
                ),
                &["topic", "cause"],
            )?,
            replaced: IntCounter::new(
                "projector_kafka_clients_replaced_total",
                "Consumers replaced because they had no broker although one accepted connections, or because another member had taken their name.",
            )?,
        };
        metrics.begin_at_zero();
        registry.register(Box::new(consumer_lag))?;
        registry.register(Box::new(Freshness::new(metrics.lag.clone())?))?;
        metrics.losses.register(registry)?;
        registry.register(Box::new(metrics.rewound.clone()))?;
        registry.register(Box::new(metrics.replaced.clone()))?;
        registry.register(Box::new(metrics.applied.clone()))?;
        registry.register(Box::new(metrics.stale.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.blocked.clone()))?;
        registry.register(Box::new(metrics.batch_size.clone()))?;
        registry.register(Box::new(metrics.apply_seconds.clone()))?;
        registry.register(Box::new(metrics.end_to_end_latency.clone()))?;
        Ok(metrics)
    }

    /// A counter that first appears with its first event shows Prometheus no increase,
    /// and an alert on it would sleep through that one.
    fn begin_at_zero(&self) {
        for domain in Domain::ALL {
            self.applied.with_label_values(&[domain.topic()]);
        }
        for reason in Reason::ALL {
            self.dead_letters.with_label_values(&[reason.as_str()]);
        }
        for cause in Cause::ALL {
            self.blocked.with_label_values(&[cause.as_str()]);
            if cause != Cause::DeadLetter {
                self.retries.with_label_values(&[cause.as_str()]);
            }
        }
    }
}

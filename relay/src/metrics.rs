use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};
use shared::event::Domain;

use crate::backlog::Counts;
use crate::begin::SWEEP_REASONS;
use crate::failure::TransactionError;
use crate::lag::Lag;
use crate::members::Members;
use crate::refused::{self, Refused};
use crate::tail::LOST_REASONS;

/// What the relay counts. The gauges are computed when scraped: see [`Lag`].
#[derive(Debug, Clone)]
pub struct Metrics {
    pub lag: Lag,
    pub counts: Counts,
    pub refused: Refused,
    pub members: Members,
    pub published: IntCounterVec,
    pub publish_failures: IntCounterVec,
    pub token_lost: IntCounterVec,
    pub dead: IntCounter,
    pub purged: IntCounter,
    pub leader: IntGauge,
    pub shards: IntGauge,
    pub batch_size: Histogram,
    pub publish_seconds: Histogram,
}

impl Metrics {
    /// # Errors
    /// Where the registry already has one of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lag = Lag::default();
        let metrics = Self {
            counts: Counts::new(lag.clone())?,
            lag,
            refused: Refused::default(),
            members: Members::default(),
            published: counters(
                "relay_published_total",
                "Events acknowledged by Kafka, by topic (the contract's name).",
                "topic",
            )?,
            publish_failures: counters(
                "relay_publish_failures_total",
                "Kafka transactions that were not committed, by reason. Their events are published by a later one.",
                "reason",
            )?,
            token_lost: counters(
                "relay_resume_token_lost_total",
                "Times the place in the change stream was lost and the outbox was swept, by reason.",
                "reason",
            )?,
            dead: IntCounter::new(
                "relay_dead_events_total",
                "Outbox records that Kafka will never take, moved to the outbox_dead collection.",
            )?,
            purged: IntCounter::new(
                "relay_purged_events_total",
                "Published records deleted from the outbox, past its retention.",
            )?,
            leader: IntGauge::new(
                "relay_leader",
                "1 while this relay leads its shard, 0 while it stands by.",
            )?,
            shards: IntGauge::new(
                "relay_shards",
                "Shards that the outbox is divided into: as many relays lead.",
            )?,
            batch_size: Histogram::with_opts(
                HistogramOpts::new("relay_batch_size", "Events in one Kafka transaction.")
                    .buckets(exponential_buckets(1.0, 4.0, 8)?),
            )?,
            publish_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "relay_publish_seconds",
                    "Seconds from the begin of a Kafka transaction to its commit.",
                )
                .buckets(exponential_buckets(0.001, 2.0, 14)?),
            )?,
        };
        metrics.register_all(registry)?;
        Ok(metrics)
    }

    fn register_all(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        // From the start: a counter that appears with its first event shows no increase,
        // and an alert on it would sleep through that one.
        for domain in Domain::ALL {
            self.published.with_label_values(&[domain.topic()]);
        }
        for reason in TransactionError::REASONS {
            self.publish_failures.with_label_values(&[reason]);
        }
        for reason in LOST_REASONS.iter().chain(&SWEEP_REASONS) {
            self.token_lost.with_label_values(&[reason]);
        }
        registry.register(Box::new(self.lag.clone()))?;
        registry.register(Box::new(self.counts.clone()))?;
        registry.register(Box::new(refused::DeadLetters::of(self.refused.clone())?))?;
        registry.register(Box::new(self.shards.clone()))?;
        for counters in [&self.published, &self.publish_failures, &self.token_lost] {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(self.dead.clone()))?;
        registry.register(Box::new(self.purged.clone()))?;
        registry.register(Box::new(self.leader.clone()))?;
        registry.register(Box::new(self.batch_size.clone()))?;
        registry.register(Box::new(self.publish_seconds.clone()))
    }
}

fn counters(name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}

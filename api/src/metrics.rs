use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    Result,
};

use shared::event::Domain;

use crate::store::CommitError;

/// From half a millisecond to ten seconds: what a request or a commit can take.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Writes in one transaction.
const WRITES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// What the API tells Prometheus.
#[derive(Clone)]
pub struct Metrics {
    pub requests: IntCounterVec,
    pub request_seconds: HistogramVec,
    pub requests_in_flight: IntGauge,
    pub transaction_retries: IntCounter,
    pub commit_seconds: Histogram,
    pub commit_failures: IntCounterVec,
    pub commit_group_size: Histogram,
    pub commit_queue_wait_seconds: Histogram,
    pub commit_regroups: IntCounterVec,
    pub query_wait_seconds: Histogram,
    pub undecodable_documents: IntCounterVec,
    pub hash_queue_depth: IntGauge,
    pub hashes: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// Where a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self> {
        let metrics = Self::all(registry)?;
        // A counter that appears with its first event shows Prometheus no increase.
        for reason in CommitError::REASONS {
            metrics.commit_failures.with_label_values(&[reason]);
            metrics.commit_regroups.with_label_values(&[reason]);
        }
        for domain in Domain::ALL {
            metrics.undecodable_documents.with_label_values(&[domain.collection()]);
        }
        Ok(metrics)
    }

    fn all(registry: &Registry) -> Result<Self> {
        Ok(Self {
            requests: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "http_requests_total",
                        "Requests that were answered, by method, route and status.",
                    ),
                    &["method", "route", "status"],
                )?,
            )?,
            request_seconds: add(
                registry,
                HistogramVec::new(
                    histogram(
                        "http_request_duration_seconds",
                        &SECONDS,
                        "Time from a request's first byte to its answer, in seconds, by method, route and status.",
                    ),
                    &["method", "route", "status"],
                )?,
            )?,
            requests_in_flight: add(
                registry,
                IntGauge::new("http_requests_in_flight", "Number of requests being answered.")?,
            )?,
            transaction_retries: add(
                registry,
                IntCounter::new(
                    "api_transaction_retries_total",
                    "MongoDB transactions that were begun again, after a write conflict or a lost server.",
                )?,
            )?,
            commit_seconds: add(
                registry,
                Histogram::with_opts(histogram(
                    "api_commit_seconds",
                    &SECONDS,
                    "Time of one MongoDB transaction (documents and events) with its retries, in seconds.",
                ))?,
            )?,
            commit_failures: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "api_commit_failures_total",
                        "Writes that were not committed, by reason (stale, duplicate, too_large, overloaded, unavailable, internal).",
                    ),
                    &["reason"],
                )?,
            )?,
            commit_group_size: add(
                registry,
                Histogram::with_opts(histogram(
                    "api_commit_group_size",
                    &WRITES,
                    "Number of writes that went into one MongoDB transaction together.",
                ))?,
            )?,
            commit_queue_wait_seconds: add(
                registry,
                Histogram::with_opts(histogram(
                    "api_commit_queue_wait_seconds",
                    &SECONDS,
                    "Time that a write waited for the transaction before its own, in seconds.",
                ))?,
            )?,
            commit_regroups: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "api_commit_regroup_total",
                        "Groups that were taken apart because a write in them failed, by reason (stale, duplicate, too_large, internal).",
                    ),
                    &["reason"],
                )?,
            )?,
            query_wait_seconds: add(
                registry,
                Histogram::with_opts(histogram(
                    "api_query_wait_seconds",
                    &SECONDS,
                    "Time that a read waited for its turn at MongoDB, in seconds.",
                ))?,
            )?,
            undecodable_documents: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "api_undecodable_documents_total",
                        "Documents that a list left out because they cannot be read, by collection.",
                    ),
                    &["collection"],
                )?,
            )?,
            hash_queue_depth: add(
                registry,
                IntGauge::new(
                    "api_hash_queue_depth",
                    "Number of passwords that wait to be hashed or verified, or are at it.",
                )?,
            )?,
            hashes: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "api_password_hashes_total",
                        "Passwords that were run through a slow hash, by operation (hash, verify).",
                    ),
                    &["operation"],
                )?,
            )?,
        })
    }
}

fn histogram(name: &str, buckets: &[f64], help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets.to_vec())
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

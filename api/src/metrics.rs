use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// From half a millisecond to ten seconds: what a request or a commit can take.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What the API tells Prometheus.
#[derive(Clone)]
pub struct Metrics {
    pub request_seconds: HistogramVec,
    pub commit_seconds: Histogram,
    pub commit_failures: IntCounterVec,
    pub hash_waiting: IntGauge,
}

impl Metrics {
    /// # Errors
    /// Where a name is registered twice.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            request_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "api_request_seconds",
                    "Time from a request's first byte to its answer, in seconds, by method, route and status.",
                )
                .buckets(SECONDS.to_vec()),
                &["method", "route", "status"],
            )?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "api_commit_seconds",
                    "Time of one MongoDB transaction (document and event) with its retries, in seconds.",
                )
                .buckets(SECONDS.to_vec()),
            )?,
            commit_failures: IntCounterVec::new(
                Opts::new(
                    "api_commit_failures_total",
                    "Writes that were not committed, by reason (stale, duplicate, too_large, unavailable, internal).",
                ),
                &["reason"],
            )?,
            hash_waiting: IntGauge::new(
                "api_password_hash_waiting",
                "Sign-ups that wait for their password to be hashed, or have it hashed now.",
            )?,
        };
        registry.register(Box::new(metrics.request_seconds.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.commit_failures.clone()))?;
        registry.register(Box::new(metrics.hash_waiting.clone()))?;
        Ok(metrics)
    }
}

//! Comparison after comparison, for Prometheus.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntGaugeVec, Opts, Registry};
use shared::Timestamp;
use shared::process::{Health, Shutdown, registry, serve_ops};

use super::VerifyError;
use super::report::{Report, TableReport};
use super::verifier::{Patience, Verifier};

struct Metrics {
    through: Gauge,
    seconds: Gauge,
    differences: IntGaugeVec,
    failures: IntCounter,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            through: Gauge::new(
                "verify_through_seconds",
                "Unix time in seconds at which the latest complete comparison began: what was written before is covered by it. 0 before the first.",
            )?,
            seconds: Gauge::new(
                "verify_seconds",
                "Seconds that the latest complete comparison took.",
            )?,
            differences: IntGaugeVec::new(
                Opts::new(
                    "verify_differences",
                    "Documents or rows that differ, by table and kind, as of the latest complete comparison.",
                ),
                &["table", "kind"],
            )?,
            failures: IntCounter::new(
                "verify_failures_total",
                "Comparisons that a server which was away has cut short.",
            )?,
        };
        registry.register(Box::new(metrics.through.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.differences.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    fn show(&self, report: &Report, began: Timestamp) {
        for table in &report.tables {
            for (kind, count) in table.by_kind() {
                let gauge = self.differences.with_label_values(&[table.table, kind]);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.seconds.set(report.seconds);
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 200,000 years")]
        self.through.set(began.millis() as f64 / 1_000.0);
    }
}

/// Ends only with the process.
///
/// # Errors
/// Where `address` cannot be bound.
pub async fn run(
    verifier: &Verifier,
    patience: Patience,
    every: Duration,
    address: SocketAddr,
) -> Result<ExitCode, VerifyError> {
    let health = Health::default();
    let registry = registry(&health)?;
    let metrics = Metrics::register(&registry)?;
    let comparing = async {
        let servers = health.dependency("mongodb_and_mysql");
        loop {
            let began = Timestamp::now();
            match verifier.verify(patience).await {
                Ok(compared) => {
                    servers.up();
                    metrics.show(&compared.report, began);
                    tell(&compared.report);
                }
                Err(error) => {
                    metrics.failures.inc();
                    servers.down(error);
                }
            }
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        served = serve_ops(address, health.clone(), registry, Shutdown::new()) => served?,
        () = comparing => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &Report) {
    let differing: u64 = report.tables.iter().map(TableReport::differing).sum();
    match report.clean {
        true => tracing::info!(seconds = report.seconds, "clean"),
        false => tracing::warn!(differing, seconds = report.seconds, "MongoDB and MySQL differ"),
    }
}

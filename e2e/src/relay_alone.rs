use std::collections::BTreeMap;
use std::time::Duration;

use crate::pipeline::{free, logs, unique};
use crate::{Process, Servers, Used, eventually};

/// The relay without the rest of the pipeline, on a database and topics of its own.
pub struct RelayAlone {
    process: Process,
    environment: BTreeMap<String, String>,
}

impl RelayAlone {
    /// Starts it with `settings` on top of the servers' own, and waits until it is ready.
    pub async fn start(servers: &Servers, settings: &[(&str, &str)]) -> Self {
        let (name, address) = (unique("relay"), free());
        let mut environment: BTreeMap<String, String> =
            servers.settings().map(|(name, value)| (name.clone(), value.clone())).collect();
        environment.insert("RELAY_ADDR".to_owned(), address.to_string());
        environment.insert("DATABASE_NAME".to_owned(), name.clone());
        environment.insert("KAFKA_TOPIC_PREFIX".to_owned(), format!("{name}."));
        for (name, value) in settings {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let log = logs(&name).join("relay.log");
        let process = Process::start("relay", address, environment.clone(), &log);
        process.wait_until_ready().await;
        Self { process, environment }
    }

    /// A value of its environment, as in `DATABASE_NAME`.
    pub fn setting(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Ends it cleanly, with all that it has read published.
    pub async fn stop(&mut self) {
        self.process.terminate(Duration::from_secs(10)).await;
    }

    /// As a new process, whose counters begin at zero.
    pub async fn start_again(&mut self) {
        self.process.restart();
        self.process.wait_until_ready().await;
    }

    /// Until nothing committed more than a second ago is unpublished.
    pub async fn wait_until_caught_up(&self, within: Duration) {
        eventually("the relay has caught up", within, async || {
            let lag = self.metric("relay_lag_seconds").await;
            if lag.is_some_and(|lag| lag < 1.0) { Ok(()) } else { Err(format!("lag {lag:?}")) }
        })
        .await;
    }

    /// Events acknowledged by Kafka since the process was started.
    pub async fn published(&self) -> f64 {
        self.process.metrics().await.sum("relay_published_total")
    }

    /// Events in a Kafka transaction, and the seconds that one takes, on average.
    pub async fn mean_transaction(&self) -> (f64, f64) {
        let metrics = self.process.metrics().await;
        (metrics.mean("relay_batch_size"), metrics.mean("relay_publish_seconds"))
    }

    /// `None` where the metric is absent.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        self.process.metrics().await.value(name)
    }

    pub fn used(&self) -> Used {
        self.process.used()
    }
}

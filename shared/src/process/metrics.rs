//! The metrics that every process exports, whatever it does.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};

use super::{DependencyState, Health};

/// Returns a registry that holds `process_*` (memory, CPU, file descriptors, start time) and
/// `dependency_up`, which repeats what `health` knows.
///
/// # Errors
/// Never in practice: the names differ.
pub fn registry(health: &Health) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    registry.register(Box::new(DependencyUp::of(health.clone())?))?;
    Ok(registry)
}

/// `/ready` as a metric, read when it is scraped.
struct DependencyUp {
    health: Health,
    up: IntGaugeVec,
}

impl DependencyUp {
    fn of(health: Health) -> prometheus::Result<Self> {
        let up = IntGaugeVec::new(
            Opts::new(
                "dependency_up",
                "1 while this process reaches what it depends on; 0 while it does not, and until it has for the first time.",
            ),
            &["dependency"],
        )?;
        Ok(Self { health, up })
    }
}

impl Collector for DependencyUp {
    fn desc(&self) -> Vec<&Desc> {
        self.up.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (name, state) in self.health.dependencies() {
            self.up.with_label_values(&[name]).set(i64::from(state == DependencyState::Up));
        }
        self.up.collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn exported(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_dependency_that_was_not_reached_yet_does_not_count_as_up() {
        let health = Health::default();
        let registry = registry(&health).unwrap();
        let (kafka, mysql) = (health.dependency("kafka"), health.dependency("mysql"));
        mysql.up();
        let text = exported(&registry);
        assert!(text.contains("dependency_up{dependency=\"kafka\"} 0\n"), "{text}");
        assert!(text.contains("dependency_up{dependency=\"mysql\"} 1\n"), "{text}");
        kafka.up();
        mysql.down("connection refused");
        let text = exported(&registry);
        assert!(text.contains("dependency_up{dependency=\"kafka\"} 1\n"), "{text}");
        assert!(text.contains("dependency_up{dependency=\"mysql\"} 0\n"), "{text}");
    }

    #[test]
    fn the_process_itself_is_measured() {
        let text = exported(&registry(&Health::default()).unwrap());
        for name in [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name} is missing: {text}");
        }
    }
}

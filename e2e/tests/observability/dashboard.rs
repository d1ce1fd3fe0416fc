//! Every panel shows something once there was traffic.

use std::time::Duration;

use e2e::{Pipeline, Servers, eventually};
use serde_json::Value;

use crate::project::text;
use crate::prometheus::Prometheus;

/// Each query of each panel, with the panel's title.
fn queries() -> Vec<(String, String)> {
    let dashboard = text("deploy/grafana/dashboards/outbox-pipeline.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            // What Grafana would fill in; long enough to see the seeding at any moment of the test.
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "3m");
            queries.push((title.to_owned(), expression));
        }
    }
    assert!(queries.len() > 30, "only {} queries were found", queries.len());
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_after_a_seed() {
    let servers = Servers::shared();
    let pipeline = Pipeline::start(&servers, "panels").await;
    let prometheus = Prometheus::watching(&pipeline);
    eventually("the three are asked", Duration::from_secs(30), async || {
        match prometheus.query("sum(up)").await?.as_slice() {
            [up] if *up >= 3.0 => Ok(()),
            other => Err(format!("up: {other:?}")),
        }
    })
    .await;
    // Twice: a series that begins with the first shows a rate with the second.
    for _ in 0..2 {
        let seeded = pipeline.outboxctl(&["seed", "--scale", "0.3"]).await;
        assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));
        pipeline.verify(Duration::from_secs(60)).await;
    }
    eventually("every panel shows something", Duration::from_secs(60), async || {
        let mut empty = Vec::new();
        for (title, expression) in queries() {
            match prometheus.query(&expression).await {
                Ok(values) if values.iter().any(|value| value.is_finite()) => {}
                Ok(values) => empty.push(format!("{title}: {expression} = {values:?}")),
                Err(refused) => panic!("{title}: {expression}: {refused}"),
            }
        }
        if empty.is_empty() { Ok(()) } else { Err(empty.join("\n")) }
    })
    .await;
    // An unoptimised build on a busy machine may well be slow; that is no fault of the rules.
    let firing = "ALERTS{alertstate=\"firing\", alertname!~\"ApiLatency.*\"}";
    let alerts = prometheus.query(firing).await.unwrap();
    assert_eq!(alerts.len(), 0, "a healthy pipeline raises no alert");
}

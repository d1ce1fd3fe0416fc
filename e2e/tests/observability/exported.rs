//! No rule, panel or document names a metric that the processes do not export, and none
//! that they export goes unmentioned.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Pipeline, Servers, binary, eventually, free};
use tokio::process::{Child, Command};

use crate::project::{files, metrics_in, rules, text};

/// The names of what a process exports, its `process_` metrics left out.
async fn exported(url: &str) -> BTreeSet<String> {
    let Ok(answer) = reqwest::get(format!("{url}/metrics")).await else {
        return BTreeSet::new();
    };
    let text = answer.text().await.unwrap();
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = described.filter_map(|line| line.split(' ').next()).map(str::to_owned);
    names.filter(|name| !name.starts_with("process_")).collect()
}

/// What the dashboard shows of each process is there.
async fn process_is_measured(url: &str) {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
        "dependency_up",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{url} has no {name}");
    }
}

/// `outboxctl verify --watch`, and where it serves its metrics.
fn watch(pipeline: &Pipeline) -> (Child, String) {
    let address = free().to_string();
    let watch = Command::new(binary("outboxctl"))
        .args(["verify", "--watch", "--every", "1", "--addr", &address])
        .envs(pipeline.environment())
        .kill_on_drop(true)
        .spawn();
    (watch.unwrap(), format!("http://{address}"))
}

/// The rows of the tables under "Metrics" in docs/operations.md.
fn documented() -> BTreeSet<String> {
    let operations = text("docs/operations.md");
    let section = operations.split("\n## ").find(|section| section.starts_with("Metrics"));
    let rows = section.expect("a section \"Metrics\"").lines();
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split(['`', '{']).next());
    names.map(str::to_owned).collect()
}

/// Names in `text` that are neither exported nor a part of an exported histogram.
fn unknown(text: &str, exported: &BTreeSet<String>) -> Vec<String> {
    let known = |name: &String| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        exported.contains(name) || histogram.is_some_and(|name| exported.contains(name))
    };
    metrics_in(text).into_iter().filter(|name| !known(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_and_written_about_is_what_is_exported() {
    let servers = Servers::shared();
    let pipeline = Pipeline::start(&servers, "metrics").await;
    let user = e2e::sample::user("watched@example.com");
    pipeline.client().create("/users", "", &user).await;
    pipeline.verify(Duration::from_secs(60)).await;

    let (watch, watch_url) = watch(&pipeline);
    let Pipeline { api, relay, projector, .. } = &pipeline;
    let urls = [api.url(), relay.url(), projector.url(), watch_url];
    // Some are unknown, so absent, until the first checkpoint and the first look at the source.
    let documented = documented();
    let mut found = BTreeSet::new();
    eventually("exports what is documented", Duration::from_secs(60), async || {
        found.clear();
        for url in &urls {
            found.extend(exported(url).await);
        }
        let missing: Vec<_> = documented.difference(&found).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
    })
    .await;
    for url in &urls {
        process_is_measured(url).await;
    }
    drop(watch);
    let unmentioned: Vec<_> = found.difference(&documented).collect();
    assert!(unmentioned.is_empty(), "docs/operations.md does not describe {unmentioned:?}");

    let recorded = rules().into_iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned()));
    let known: BTreeSet<String> = found.into_iter().chain(recorded).collect();
    let mut looked_at = 0;
    for (folder, ending) in [
        ("deploy/prometheus", ".yml"),
        ("deploy/grafana", ".json"),
        ("deploy/k8s", ".yaml"),
        ("docs", ".md"),
    ] {
        for (name, text) in files(folder, ending) {
            let unknown = unknown(&text, &known);
            assert!(unknown.is_empty(), "{name} names metrics that nobody exports: {unknown:?}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 8, "only {looked_at} files were looked at");
    for name in ["README.md", "ARCHITECTURE.md"] {
        let unknown = unknown(&text(name), &known);
        assert!(unknown.is_empty(), "{name} names metrics that nobody exports: {unknown:?}");
    }
}

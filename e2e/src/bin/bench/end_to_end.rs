//! From the HTTP answer to the row in MySQL, writes coming at a fixed rate whatever the
//! answers take (open loop).
//!
//! One connection asks MySQL for all rows that are awaited, again 300 µs after each
//! answer: so a latency is measured about half a millisecond too long at most, which is
//! how long a round of asking takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Client, Pipeline, Process, Rows, Servers, sample};
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::Settings;
use crate::figures::{Figures, Latencies};

const RATES: [u64; 4] = [20, 50, 200, 500];

/// Enough for a 99th percentile at the lower rate.
const SECONDS_A_RATE: u64 = 15;

const WARM_UP: usize = 200;

const PAUSE: Duration = Duration::from_micros(300);

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    for run in 1..=settings.runs {
        println!("latency: run {run} of {}", settings.runs);
        for rate in RATES {
            let name = format!("HTTP answer to MySQL row, {rate} writes/s");
            if !settings.wants(&name) {
                continue;
            }
            // Each on a pipeline of its own: the projector's histogram has no beginning.
            let pipeline = Pipeline::start(servers, "latency").await;
            let latencies = write_and_watch(&pipeline, rate).await;
            figures.add(&format!("{name}: p50"), "ms", None, latencies.percentile(50));
            figures.add(&format!("{name}: p99"), "ms", None, latencies.percentile(99));
            let relay = metrics(&pipeline.relay).await;
            add_mean(figures, &relay, "relay_publish_seconds", rate);
            let metrics = metrics(&pipeline.projector).await;
            add_mean(figures, &metrics, "projector_apply_seconds", rate);
            for percent in [50, 99] {
                let bound = bucket_of(&metrics, "projector_end_to_end_latency_seconds", percent);
                let name =
                    format!("the projector's own histogram, {rate}/s: p{percent} is at most");
                figures.add(&name, "ms", None, bound * 1e3);
            }
        }
    }
}

struct Written {
    id: String,
    answered: Instant,
}

async fn write_and_watch(pipeline: &Pipeline, rate: u64) -> Latencies {
    let client = pipeline.client();
    let user = client.create("/users", "", &sample::user("bench@example.com")).await;
    let user: Arc<str> = user["id"].as_str().expect("an id").into();
    warm_up(pipeline, &client, &user).await;
    let writes = rate * SECONDS_A_RATE;
    let (written, awaited) = mpsc::channel(10_000);
    let unanswered = Arc::new(AtomicUsize::new(0));
    let rows = pipeline.rows();
    let watching = tokio::task::spawn_blocking(move || watch(rows, awaited));
    let mut ticks = interval(Duration::from_secs(1) / rate as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..writes {
        ticks.tick().await;
        let (client, user, written) = (client.clone(), Arc::clone(&user), written.clone());
        let unanswered = Arc::clone(&unanswered);
        unanswered.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let body = sample::post(&format!("post {number}"));
            let post = client.create("/posts", &user, &body).await;
            let id = post["id"].as_str().expect("an id").to_owned();
            let answered = Instant::now();
            written.send(Written { id, answered }).await.expect("somebody watches");
            unanswered.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop(written);
    let latencies = watching.await.expect("the watch ends");
    assert_eq!(unanswered.load(Ordering::Relaxed), 0);
    assert_eq!(latencies.len() as u64, writes);
    Latencies::new(latencies)
}

/// Connections, caches and prepared statements are there before the clock runs, and the
/// projector has its partitions: it joins its group again as the topics come to be.
async fn warm_up(pipeline: &Pipeline, client: &Client, user: &str) {
    let (written, awaited) = mpsc::channel(WARM_UP);
    for number in 0..WARM_UP {
        let post = client.create("/posts", user, &sample::post(&format!("warm-up {number}"))).await;
        let id = post["id"].as_str().expect("an id").to_owned();
        written.send(Written { id, answered: Instant::now() }).await.expect("room for all");
    }
    drop(written);
    let rows = pipeline.rows();
    tokio::task::spawn_blocking(move || watch(rows, awaited)).await.expect("the watch ends");
}

/// Until all that was written is there. On a thread of its own, which nothing wakes but
/// MySQL's answers and the clock: what the bench takes of two cores, the pipeline lacks.
fn watch(rows: Rows, awaited: mpsc::Receiver<Written>) -> Vec<Duration> {
    let alone = tokio::runtime::Builder::new_current_thread().enable_all().build();
    alone.expect("a runtime").block_on(ask_for_all(rows, awaited))
}

async fn ask_for_all(rows: Rows, mut awaited: mpsc::Receiver<Written>) -> Vec<Duration> {
    let mut connection = rows.connect().await.expect("MySQL answers");
    let mut missing: HashMap<String, Instant> = HashMap::new();
    let mut latencies = Vec::new();
    loop {
        if missing.is_empty() {
            let Some(Written { id, answered }) = awaited.recv().await else {
                return latencies;
            };
            missing.insert(id, answered);
        }
        while let Ok(Written { id, answered }) = awaited.try_recv() {
            missing.insert(id, answered);
        }
        let ids: Vec<_> = missing.keys().map(|id| format!("'{id}'")).collect();
        let query = format!("SELECT post_id FROM posts WHERE post_id IN ({})", ids.join(","));
        let there: Vec<String> = connection.query(query).await.expect("ids");
        let now = Instant::now();
        for id in there {
            if let Some(answered) = missing.remove(&id) {
                latencies.push(now.duration_since(answered));
            }
        }
        // The runtime's own timer knows whole milliseconds only, and nothing else waits here.
        std::thread::sleep(PAUSE);
    }
}

/// What one hop takes by its own account: how the latency comes about.
fn add_mean(figures: &mut Figures, metrics: &str, histogram: &str, rate: u64) {
    let value = |part: &str| {
        let name = format!("{histogram}_{part} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let mean = value("sum") / value("count");
    figures.add(&format!("{histogram}, {rate}/s: mean"), "ms", None, mean * 1e3);
}

async fn metrics(process: &Process) -> String {
    let url = format!("{}/metrics", process.url());
    reqwest::get(url).await.expect("metrics").text().await.expect("text")
}

/// The upper bound of the bucket that holds this percentile.
fn bucket_of(metrics: &str, histogram: &str, percent: u64) -> f64 {
    let begin = format!("{histogram}_bucket{{le=\"");
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(&begin)?.split_once("\"} "))
        .map(|(bound, count)| (bound.parse().expect("a bound"), count.parse().expect("a count")))
        .collect();
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let wanted = all * percent as f64 / 100.0;
    buckets.iter().find(|(_, count)| *count >= wanted).map_or(f64::NAN, |(bound, _)| *bound)
}

//! From the HTTP answer to the row in MySQL, writes coming at a fixed rate whatever the
//! answers take (open loop).
//!
//! One connection asks MySQL for all rows that are awaited, again a moment after each
//! answer: so a latency is measured too long by at most one such round, of 0.6 ms. What
//! that takes of two cores the pipeline lacks; so not more than [`WATCHED`] writes a second
//! are awaited, spread evenly among all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Client, Pipeline, Rows, Servers, sample};
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Settings;
use crate::bare_chain::BareChain;
use crate::figures::{Figures, Latencies};

/// Writes a second, and how far apart the relay's transactions begin, in milliseconds.
const CASES: [(u64, u64); 6] = [(20, 0), (50, 0), (200, 0), (500, 0), (200, 100), (200, 500)];

/// Writes a second, of the bare chain.
const BARE: [u64; 2] = [20, 200];

/// Enough for a 99th percentile at the lower rate.
const SECONDS_A_RATE: u64 = 15;

const WATCHED: u64 = 50;

const WARM_UP: usize = 200;

/// A broker that has just started spends a core on compiling its own code: for more than
/// a minute at this rate.
const BROKER_WARM_UP: (u64, u64) = (200, 90);

/// Between two questions to MySQL.
const PAUSE: Duration = Duration::from_micros(300);

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let (rate, seconds) = BROKER_WARM_UP;
    println!("latency: {seconds} s for the servers to warm up");
    write_and_watch(&Pipeline::start(servers, "latency").await, rate, seconds).await;
    for run in 1..=settings.runs {
        println!("latency: run {run} of {}", settings.runs);
        for rate in BARE {
            if settings.wants(&bare(rate)) {
                measure_bare(servers, rate, figures).await;
            }
        }
        for (rate, apart) in CASES {
            let name = match apart {
                0 => format!("HTTP answer to MySQL row, {rate} writes/s"),
                _ => format!("the same, {rate} writes/s, transactions {apart} ms apart"),
            };
            if !settings.wants(&name) {
                continue;
            }
            let limit = (apart == 0 && BARE.contains(&rate)).then(|| bare(rate));
            // Each on a pipeline of its own: histograms have no beginning.
            let apart = [("RELAY_TRANSACTION_INTERVAL_MS", &*apart.to_string())];
            let pipeline = Pipeline::start_with(servers, "latency", &apart).await;
            let before = cpu(&pipeline);
            let latencies = write_and_watch(&pipeline, rate, SECONDS_A_RATE).await;
            add(figures, &name, limit.filter(|bare| settings.wants(bare)), &latencies);
            // How the latency comes about, by each hop's own account.
            let hops = [
                (&pipeline.relay, "relay_publish_seconds"),
                (&pipeline.projector, "projector_apply_seconds"),
            ];
            for (process, histogram) in hops {
                let mean = process.metrics().await.mean(histogram) * 1e3;
                figures.add(&format!("{name}: {histogram}: mean"), "ms", None, mean);
            }
            let events = (rate * SECONDS_A_RATE) as usize + WARM_UP;
            let cpu = (cpu(&pipeline) - before).as_secs_f64() * 1e6 / events as f64;
            figures.add(&format!("{name}: CPU of relay and projector per 1,000"), "ms", None, cpu);
        }
    }
}

fn bare(rate: u64) -> String {
    format!("the bare chain, {rate} writes/s")
}

/// The limit in the same hour: machines differ, and so do an hour and the next.
async fn measure_bare(servers: &Servers, rate: u64, figures: &mut Figures) {
    let mut pipeline = Pipeline::start(servers, "latency").await;
    let client = pipeline.client();
    let user = new_user(&client, "first@example.com").await;
    warm_up(&pipeline, &client, &user).await;
    let mut chain = BareChain::instead_of(&mut pipeline).await;
    let latencies = tokio::select! {
        latencies = write_and_watch(&pipeline, rate, SECONDS_A_RATE) => latencies,
        () = chain.ended() => panic!("the bare chain has ended"),
    };
    drop(chain);
    add(figures, &bare(rate), None, &latencies);
}

fn add(figures: &mut Figures, name: &str, limit: Option<String>, latencies: &Latencies) {
    for percent in [50, 99] {
        let limit = limit.as_ref().map(|limit| format!("{limit}: p{percent}"));
        let value = latencies.percentile(percent);
        figures.add(&format!("{name}: p{percent}"), "ms", limit.as_deref(), value);
    }
}

fn cpu(pipeline: &Pipeline) -> Duration {
    pipeline.relay.used().cpu + pipeline.projector.used().cpu
}

struct Written {
    id: String,
    answered: Instant,
}

async fn write_and_watch(pipeline: &Pipeline, rate: u64, seconds: u64) -> Latencies {
    let client = pipeline.client();
    let user = new_user(&client, "bench@example.com").await;
    warm_up(pipeline, &client, &user).await;
    let writes = rate * seconds;
    let (written, awaited) = mpsc::channel(10_000);
    let mut writing = JoinSet::new();
    let rows = pipeline.rows();
    let watching = tokio::task::spawn_blocking(move || watch(rows, awaited));
    let mut ticks = interval(Duration::from_secs(1) / rate as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..writes {
        ticks.tick().await;
        let written = is_watched(number, rate).then(|| written.clone());
        let (client, user) = (client.clone(), Arc::clone(&user));
        writing.spawn(async move {
            let body = sample::post(&format!("post {number}"));
            let post = client.create("/posts", &user, &body).await;
            let id = post["id"].as_str().expect("an id").to_owned();
            let answered = Instant::now();
            if let Some(written) = written {
                written.send(Written { id, answered }).await.expect("somebody watches");
            }
        });
    }
    drop(written);
    let latencies = watching.await.expect("the watch ends");
    writing.join_all().await;
    assert_eq!(latencies.len(), (0..writes).filter(|number| is_watched(*number, rate)).count());
    Latencies::new(latencies)
}

async fn new_user(client: &Client, email: &str) -> Arc<str> {
    let user = client.create("/users", "", &sample::user(email)).await;
    user["id"].as_str().expect("an id").into()
}

/// In steps of the golden ratio, which no timer of anybody's keeps time with.
fn is_watched(number: u64, rate: u64) -> bool {
    let place = number as f64 * 0.618_033_988_749_894_9 % 1.0;
    place * rate as f64 <= WATCHED as f64
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

//! From the HTTP answer to the row in MySQL, writes coming at a fixed rate whatever the
//! answers take (`open_loop.rs`); beside it the bare chain of the same hour.

use std::time::Duration;

use e2e::{Pipeline, Servers};

use crate::Settings;
use crate::bare_chain::BareChain;
use crate::figures::{Figures, Latencies};
use crate::open_loop::{WARM_UP, new_user, warm_up, write_and_watch};

/// Writes a second, and how far apart the relay's transactions begin, in milliseconds.
const CASES: [(u64, u64); 6] = [(20, 0), (50, 0), (200, 0), (500, 0), (200, 100), (200, 500)];

/// Writes a second, of the bare chain.
const BARE: [u64; 2] = [20, 200];

/// Enough for a 99th percentile at the lower rate.
const SECONDS_A_RATE: u64 = 15;

/// A broker that has just started spends a core on compiling its own code: for more than
/// three minutes at this rate.
const BROKER_WARM_UP: (u64, u64) = (200, 240);

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
    let user = new_user(&pipeline, "first@example.com").await;
    warm_up(&pipeline, &user).await;
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

//! The relay: how fast it drains a backlog beside the bare driver that only reads it,
//! what that costs, and how late a lone event is; then all of it again with an outbox
//! that holds many times as much, published long ago.

use std::time::{Duration, Instant};

use e2e::{RelayAlone, Servers};

use crate::Settings;
use crate::figures::{Figures, Latencies};
use crate::outbox::Outbox;
use crate::reader::Reader;

const PER_SECOND: u32 = 200;
/// Of a full run; a minute's worth would make the bench no truer, only longer.
const LATENCY_RUN: u32 = 3;
/// Those that it keeps busy.
const SERVERS: [&str; 2] = ["mongodb", "kafka"];
/// A broker that has just started spends more on compiling its own code than on records.
const WARM_UP: usize = 1_500_000;
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn measure(servers: &Servers, settings: &Settings, figures: &mut Figures) {
    let mut relay = RelayAlone::start(servers, &[]).await;
    let url = servers.setting("MONGODB_URL");
    let outbox = Outbox::open(url, relay.setting("DATABASE_NAME")).await;
    let grown = (settings.backlog * settings.growth, format!(", outbox x{}", settings.growth));
    let sizes = [(settings.backlog, String::new()), grown];
    println!("relay: {WARM_UP} events for the servers to warm up");
    relay.stop().await;
    outbox.fill(WARM_UP).await;
    relay.start_again().await;
    relay.wait_until_caught_up(PATIENCE).await;
    let mut held = WARM_UP;
    for (size, note) in sizes.into_iter().take(if settings.growth > 1 { 2 } else { 1 }) {
        let more = size.saturating_sub(held + settings.backlog);
        outbox.fill(more).await;
        relay.wait_until_caught_up(PATIENCE).await;
        held += more;
        for run in 1..=settings.runs {
            println!("relay{note}: run {run} of {}", settings.runs);
            drain(servers, &mut relay, &outbox, settings.backlog, &note, figures).await;
            latency(servers, &relay, &outbox, settings, &note, figures).await;
            held += settings.backlog;
        }
    }
    relay.stop().await;
    outbox.drop().await;
}

/// Stopped, filled, started: the events that wait are published as fast as it can.
async fn drain(
    servers: &Servers,
    relay: &mut RelayAlone,
    outbox: &Outbox,
    backlog: usize,
    note: &str,
    figures: &mut Figures,
) {
    relay.wait_until_caught_up(PATIENCE).await;
    relay.stop().await;
    let from = outbox.now().await;
    outbox.fill(backlog).await;
    let limit = format!("bare change stream{note}");
    figures.add(&limit, "/s", None, outbox.tail(from, backlog).await);

    let before = SERVERS.map(|server| servers.used(server).cpu);
    relay.start_again().await;
    let rate = drained(relay, backlog as f64).await;
    let used = relay.used();
    let name = format!("relay drains {backlog}{note}");
    figures.add(&name, "/s", Some(&limit), rate);
    let cpu = format!("{name}: CPU per 1,000");
    figures.add(&cpu, "ms", None, used.per_thousand(Duration::ZERO, backlog));
    for (server, before) in SERVERS.into_iter().zip(before) {
        let used = servers.used(server).per_thousand(before, backlog);
        figures.add(&format!("{cpu}, of {server}"), "ms", None, used);
    }
    let peak = used.peak_memory as f64 / 1e6;
    figures.add(&format!("{name}: memory at its highest"), "MB", None, peak);
    let (events, seconds) = relay.mean_transaction().await;
    figures.add(&format!("{name}: events a transaction"), "", None, events);
    figures.add(&format!("{name}: a transaction"), "ms", None, seconds * 1e3);
}

/// Events per second, from the first that are seen to be acknowledged to the last.
async fn drained(relay: &RelayAlone, backlog: f64) -> f64 {
    let mut first = None;
    loop {
        let (published, now) = (relay.published().await, Instant::now());
        let (before, begun) = match first {
            Some(first) => first,
            None if published > 0.0 => *first.insert((published, now)),
            None => (0.0, now),
        };
        if published >= backlog {
            return (published - before) / begun.elapsed().as_secs_f64();
        }
        assert!(begun.elapsed() < PATIENCE, "{published} of {backlog} published");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// From the moment when a write is due, and from MongoDB's commit, to a reader that
/// sees committed events only.
async fn latency(
    servers: &Servers,
    relay: &RelayAlone,
    outbox: &Outbox,
    settings: &Settings,
    note: &str,
    figures: &mut Figures,
) {
    relay.wait_until_caught_up(PATIENCE).await;
    let kafka = servers.setting("KAFKA_BOOTSTRAP_SERVERS");
    let reader = Reader::open(kafka, relay.setting("KAFKA_TOPIC_PREFIX"));
    let time = Duration::from_secs(settings.seconds) * LATENCY_RUN;
    let count = PER_SECOND * u32::try_from(time.as_secs()).expect("seconds");
    let reading = reader.read(count as usize);
    let written = outbox.write_steadily(PER_SECOND, count).await;
    let arrived = reading.await.expect("the reader ends");
    let since = |moment: fn(&crate::outbox::Written) -> Instant| {
        let one = |(id, seen): &(uuid::Uuid, Instant)| seen.duration_since(moment(&written[id]));
        Latencies::new(arrived.iter().map(one).collect())
    };
    let from = [
        ("commit to reader", since(|written| written.committed)),
        ("write to reader", since(|written| written.due)),
    ];
    for (name, latencies) in from {
        for percent in [50, 99] {
            let name = format!("{name} at {PER_SECOND}/s{note}: p{percent}");
            figures.add(&name, "ms", None, latencies.percentile(percent));
        }
    }
}

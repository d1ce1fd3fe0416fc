//! The line between the relay and the broker breaks in the middle of a transaction, for
//! longer than a transaction may stay open; the broker itself is well all the while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::fixture::{PATIENCE, Pipeline, assert_exactly_once, chaos, history, until};
use crate::process::{Process, free_port};
use crate::proxy::{Line, Proxy};
use crate::reader;
use crate::servers::{Kind, Servers};

/// A relay's pipeline, which the test reaches without the line.
struct Scene {
    direct: Pipeline,
    proxy: Proxy,
    /// Of a relay whose line leads through the proxy.
    settings: BTreeMap<String, String>,
    _servers: Servers,
}

impl Scene {
    /// Kafka has a second address, to which the relay's line leads.
    async fn set(name: &'static str) -> Self {
        let far = free_port();
        let proxy = Proxy::open(far).await;
        let near = proxy.port();
        let kafka_properties = format!(
            "listeners=PLAINTEXT://127.0.0.1:{{port}},FAR://127.0.0.1:{far},CONTROLLER://127.0.0.1:{{controller}}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},FAR://127.0.0.1:{near}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n"
        );
        let kind = Kind { kafka_properties, ..Kind::default() };
        let starting = tokio::task::spawn_blocking(move || Servers::of_kind(name, &kind));
        let servers = starting.await.unwrap();
        let direct = Pipeline::on("cut", servers.mongodb_url(), servers.kafka()).await;
        let mut settings = direct.settings();
        settings.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), format!("127.0.0.1:{near}"));
        Self { direct, proxy, settings, _servers: servers }
    }

    /// Records and markers in the topics, decided or not.
    async fn sent(&self) -> i64 {
        let prefix = format!("{}.", self.direct.name);
        reader::sum_of_ends(&self.direct.kafka, &prefix, "read_uncommitted").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_within_a_transaction_costs_no_event() {
    let Scene { direct, proxy, mut settings, _servers } = Scene::set("relay-cut").await;
    let (timeout, broken_for) = if chaos() { (20, 60) } else { (2, 5) };
    settings.insert("RELAY_TRANSACTION_TIMEOUT_MS".to_owned(), format!("{timeout}000"));
    let relay = Process::launch(&settings);
    let mut written = history(100, 10);
    direct.write(&written).await;
    direct.await_events(written.len()).await;

    for line in [Line::Reset, Line::Silent, Line::Reset, Line::Silent] {
        let failures = relay.publish_failures().await;
        let burst = history(500, 10);
        // In the middle of the burst: a transaction is open, and records are on their way.
        let breaking = proxy.break_after(300_000, line);
        tokio::join!(breaking, direct.write(&burst));
        written.extend(burst);
        let during = history(20, 5);
        direct.write(&during).await;
        written.extend(during);
        tokio::time::sleep(Duration::from_secs(broken_for)).await;
        until("the broker has given up the open transaction", || async {
            !reader::is_anything_hidden(&direct.kafka, &format!("{}.", direct.name)).await
        })
        .await;
        assert_eq!(relay.get("/ready").await.unwrap().0, 503, "{line:?}: it says that it waits");

        proxy.heal();
        assert_exactly_once(&direct.await_events(written.len()).await, &written);
        let failed = relay.publish_failures().await - failures;
        println!("{line:?}: {failed} transactions failed");
        assert!(failed > 0.0, "{line:?}: nothing was on its way when the line broke");
    }
    relay.await_ready().await;
    relay.kill();
}

/// The relay sends a transaction while the one before it is committed. Where only the earlier
/// one fails, the later one must not be committed: its checkpoint speaks of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_goes_down_with_the_one_before_it() {
    let scene = Scene::set("relay-held").await;
    let Scene { direct, proxy, settings, .. } = &scene;
    let relay = Process::launch(settings);
    let written = history(10, 3);
    let (known, more) = written.split_at(10);
    direct.write(known).await;
    direct.await_events(known.len()).await;

    let (first, second) = more.split_at(10);
    let (held, ()) = tokio::join!(proxy.hold_commit(), direct.write(first));
    direct.write(second).await;
    // Without any of it there are 20 records, and at most a marker for each of the known ten.
    until("some of the second transaction is sent", || async { scene.sent().await > 30 }).await;
    assert_eq!(relay.published().await, known.len() as f64);
    // The first one's producer loses its claim, as it would to another relay: to us.
    fence(&direct.kafka, held.clone()).await;
    proxy.let_commit_pass();

    assert_exactly_once(&direct.await_events(written.len()).await, &written);
    let abandoned = "relay_publish_failures_total{reason=\"abandoned\"}";
    assert_eq!(relay.metric(abandoned).await, Some(1.0), "{held} was fenced");
    relay.kill();
}

async fn fence(kafka: &str, transactional_id: String) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka).set("transactional.id", transactional_id);
    let fencing = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = settings.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
    });
    fencing.await.unwrap();
}

/// A backlog's second portion holds a record that Kafka will never take. What is left of that
/// portion comes before whatever was written later, however long the first one's commit takes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_over_comes_before_what_is_written_later() {
    let mut scene = Scene::set("relay-left").await;
    scene.settings.insert("RELAY_BATCH_BYTES".to_owned(), "65536".to_owned());
    let Scene { direct, proxy, settings, .. } = &scene;
    let mut written = history(1, 1);
    let relay = Process::launch(settings);
    direct.write(&written).await;
    direct.await_events(written.len()).await;
    assert!(relay.terminate(PATIENCE).await.success());

    // A portion full, and some more; the second version of each is written later.
    let entities = history(200, 2);
    let (first, second) = entities.split_at(200);
    let mut backlog = first.to_vec();
    backlog[190].payload = "x".repeat(5 << 20);
    direct.write(&backlog).await;
    let (held, relay) = tokio::join!(proxy.hold_commit(), async { Process::launch(settings) });
    let sent = scene.sent().await;
    direct.write(&second[..190]).await;
    let patience = Instant::now() + Duration::from_secs(1);
    while Instant::now() < patience {
        assert_eq!(scene.sent().await, sent, "something was sent while {held} was not committed");
    }
    proxy.let_commit_pass();

    backlog.remove(190);
    written.extend(backlog);
    written.extend_from_slice(&second[..190]);
    assert_exactly_once(&direct.await_events(written.len()).await, &written);
    relay.kill();
}

//! The line between the relay and the broker breaks in the middle of a transaction, for
//! longer than a transaction may stay open; the broker itself is well all the while.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::fixture::{PATIENCE, Pipeline, assert_exactly_once, chaos, history, until};
use crate::process::{Process, free_port};
use crate::proxy::{Line, Proxy};
use crate::reader;
use crate::servers::{Kind, Servers};

/// Kafka with a second address, to which the relay's line leads.
async fn servers_behind_a_proxy(name: &'static str) -> (Servers, Proxy) {
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
    (starting.await.unwrap(), proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_within_a_transaction_costs_no_event() {
    let (servers, proxy) = servers_behind_a_proxy("relay-cut").await;
    let direct = Pipeline::on("cut", servers.mongodb_url(), servers.kafka()).await;
    let (timeout, broken_for) = if chaos() { (20, 60) } else { (2, 5) };
    let mut settings = direct.settings();
    settings.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), format!("127.0.0.1:{}", proxy.port()));
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
    let (servers, proxy) = servers_behind_a_proxy("relay-held").await;
    let direct = Pipeline::on("held", servers.mongodb_url(), servers.kafka()).await;
    let prefix = format!("{}.", direct.name);
    let mut settings = direct.settings();
    settings.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), format!("127.0.0.1:{}", proxy.port()));
    let relay = Process::launch(&settings);
    let written = history(10, 3);
    let (known, more) = written.split_at(10);
    direct.write(known).await;
    direct.await_events(known.len()).await;

    let (first, second) = more.split_at(10);
    let (held, ()) = tokio::join!(proxy.hold_commit(), direct.write(first));
    direct.write(second).await;
    // Without any of it there are 20 records, and at most a marker for each of the known ten.
    until("some of the second transaction is sent", || async {
        reader::sum_of_ends(&direct.kafka, &prefix, "read_uncommitted").await > 30
    })
    .await;
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
    let (servers, proxy) = servers_behind_a_proxy("relay-left").await;
    let direct = Pipeline::on("left", servers.mongodb_url(), servers.kafka()).await;
    let prefix = format!("{}.", direct.name);
    let mut settings = direct.settings();
    settings.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), format!("127.0.0.1:{}", proxy.port()));
    settings.insert("RELAY_BATCH_BYTES".to_owned(), "65536".to_owned());
    let mut written = history(1, 1);
    let relay = Process::launch(&settings);
    direct.write(&written).await;
    direct.await_events(written.len()).await;
    assert!(relay.terminate(PATIENCE).await.success());

    // A portion full, and some more; the second version of each is written later.
    let entities = history(200, 2);
    let (first, second) = entities.split_at(200);
    let mut backlog = first.to_vec();
    backlog[190].payload = "x".repeat(5 << 20);
    direct.write(&backlog).await;
    let (held, relay) = tokio::join!(proxy.hold_commit(), async { Process::launch(&settings) });
    let sent = reader::sum_of_ends(&direct.kafka, &prefix, "read_uncommitted").await;
    direct.write(&second[..190]).await;
    let patience = Instant::now() + Duration::from_secs(1);
    while Instant::now() < patience {
        let now = reader::sum_of_ends(&direct.kafka, &prefix, "read_uncommitted").await;
        assert_eq!(now, sent, "something was sent while {held} was not committed");
    }
    proxy.let_commit_pass();

    backlog.remove(190);
    written.extend(backlog);
    written.extend_from_slice(&second[..190]);
    assert_exactly_once(&direct.await_events(written.len()).await, &written);
    relay.kill();
}

//! Brokers that want to know who is there: relay, projector and outboxctl say it, in all
//! that they do. (By TLS too: `relay/tests/it/transport.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use e2e::{Listener, Pipeline, Servers, eventually, free, sample};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

const PASSWORD: &str = "not-in-any-log";

/// Clients that begin at this listener are told of no other one.
async fn listen_for_known_users(servers: &Servers) -> String {
    let address = free();
    let known =
        Listener { name: "KNOWN", address, advertised: address, protocol: "SASL_PLAINTEXT" };
    let properties = format!(
        "listener.name.known.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.known.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_shop=\"{PASSWORD}\";\n"
    );
    servers.restart_kafka_with(&[known], &properties).await;
    address.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_of_kafka_says_who_it_is() {
    let servers = Servers::for_faults().await;
    let address = listen_for_known_users(&servers).await;
    let settings = [
        ("KAFKA_BOOTSTRAP_SERVERS", &*address),
        ("KAFKA_PRODUCER_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_PRODUCER_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_PRODUCER_SASL_USERNAME", "shop"),
        ("KAFKA_PRODUCER_SASL_PASSWORD", PASSWORD),
    ];
    let pipeline = Pipeline::start_with(&servers, "transport", &settings).await;
    let client = pipeline.client();
    let user = client.create("/users", "", &sample::user("known@example.com")).await;
    client.create("/posts", user["id"].as_str().unwrap(), &sample::post("known")).await;
    pipeline.verify(Duration::from_secs(30)).await;

    produce_poison(servers.setting("KAFKA_BOOTSTRAP_SERVERS"), &pipeline).await;
    eventually("the poison is a dead letter", Duration::from_secs(30), async || {
        let listed = pipeline.outboxctl(&["dlq", "list"]).await;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        if text.contains("not_json") { Ok(()) } else { Err(format!("{text} {listed:?}")) }
    })
    .await;
    let redriven = pipeline.outboxctl(&["dlq", "redrive", "--all"]).await;
    assert!(redriven.status.success(), "{redriven:?}");
    for process in [&pipeline.relay, &pipeline.projector] {
        assert!(!process.log().contains(PASSWORD), "the password is in the log {process}");
    }
}

async fn produce_poison(kafka: &str, pipeline: &Pipeline) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
    let topic = format!("{}user", pipeline.setting("KAFKA_TOPIC_PREFIX"));
    let record = FutureRecord::to(&topic).key("key").payload("not JSON");
    producer.send(record, Duration::from_secs(20)).await.unwrap();
}

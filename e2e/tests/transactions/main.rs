//! Transactions that hang are found, and ended as their coordinator had decided.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod producer;
mod secure;
mod wire;

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use e2e::{Pipeline, Servers, binary, sample};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::producer::{Producer, Written};
use crate::secure::Secure;

/// So Kafka takes a record of a transaction that its coordinator knows nothing of, as
/// releases before 3.6 do.
const UNVERIFIED: &str = "transaction.partition.verification.enable=false\n";

/// A pipeline whose topics have one partition each, and what was written through it.
struct Scene {
    servers: Servers,
    secure: Secure,
    pipeline: Pipeline,
    user: Value,
    supplier: Value,
    /// The record that the relay has made of `user`.
    event: Written,
}

impl Scene {
    async fn set() -> Self {
        let servers = Servers::for_faults().await;
        let secure = Secure::make();
        let properties = secure.properties() + UNVERIFIED;
        servers.restart_kafka_with(&[secure.listener], &properties).await;
        Secure::sign_up(servers.setting("KAFKA_BOOTSTRAP_SERVERS"));
        let settings = [("RELAY_TOPIC_PARTITIONS", "1")];
        let pipeline = Pipeline::start_with(&servers, "hanging", &settings).await;
        let client = pipeline.client();
        let user = client.create("/users", "", &sample::user("first@example.com")).await;
        let supplier = client.create("/suppliers", "", &sample::supplier("s@example.com")).await;
        pipeline.verify(Duration::from_secs(30)).await;
        let published = pipeline.events().await.events;
        let published = published.iter().find(|it| it.key == user["id"].as_str().unwrap()).unwrap();
        let event = Written {
            key: published.key.clone(),
            value: published.value.to_string(),
            headers: published.headers.clone(),
        };
        Self { servers, secure, pipeline, user, supplier, event }
    }

    fn topic(&self, domain: &str) -> String {
        format!("{}{domain}", self.pipeline.setting("KAFKA_TOPIC_PREFIX"))
    }

    async fn producer(&self, name: &str) -> Producer {
        let id = format!("{}{name}", self.pipeline.setting("KAFKA_TOPIC_PREFIX"));
        Producer::begin(self.servers.setting("KAFKA_BOOTSTRAP_SERVERS"), &id).await
    }

    /// One write of each kind that some hanging transaction holds back.
    async fn write_everywhere(&self) {
        let client = self.pipeline.client();
        let user = self.user["id"].as_str().unwrap();
        let supplier = self.supplier["id"].as_str().unwrap();
        client.create("/users", "", &sample::user("later@example.com")).await;
        client.create("/posts", user, &sample::post("later")).await;
        client.create("/products", supplier, &sample::product()).await;
        let change = json!({"dba_name": "Later"});
        let path = format!("/suppliers/{supplier}");
        client.expect(200, Method::PATCH, &path, "", &change).await;
    }

    async fn transactions(&self, arguments: &[&str]) -> Output {
        self.pipeline.outboxctl(&[&["transactions"], arguments].concat()).await
    }

    /// By TLS and with a password that is not sent.
    async fn transactions_securely(&self, arguments: &[&str]) -> Output {
        Command::new(binary("outboxctl"))
            .arg("transactions")
            .args(arguments)
            .envs(self.pipeline.environment())
            .envs(self.secure.settings())
            .output()
            .await
            .unwrap()
    }

    /// By topic, without the prefix; and the exit code.
    async fn list(&self) -> (BTreeMap<String, Value>, Option<i32>) {
        let output = self.transactions(&["list", "--json"]).await;
        let prefix = self.pipeline.setting("KAFKA_TOPIC_PREFIX");
        let text = String::from_utf8(output.stdout).unwrap();
        let listed = text.lines().map(|line| {
            let found: Value = serde_json::from_str(line).unwrap();
            (found["topic"].as_str().unwrap().strip_prefix(prefix).unwrap().to_owned(), found)
        });
        (listed.collect(), output.status.code())
    }

    /// How often readers see the record that `event` is.
    async fn seen(&self) -> usize {
        let id = &self.event.headers["event_id"];
        let events = self.pipeline.events().await.events;
        events.iter().filter(|it| it.headers.get("event_id") == Some(id)).count()
    }
}

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
}

fn junk() -> Written {
    Written { key: "junk".to_owned(), value: "not JSON".to_owned(), ..Written::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_is_named_and_ended_as_was_decided_and_what_lives_is_left_alone() {
    let mut scene = Scene::set().await;
    let unused = scene.topic("order");
    let (listed, code) = scene.list().await;
    assert_eq!((listed.len(), code), (0, Some(0)), "{listed:#?}");

    // Decided to commit, with this partition; the record is one that the projector has seen.
    let user = scene.topic("user");
    let mut committed = scene.producer("committed").await;
    committed.add(&user).await;
    committed.end(true).await;
    let user_offset = committed.write(&user, &scene.event);
    // Decided to abort; its coordinator knows nothing of this partition.
    let mut aborted = scene.producer("aborted").await;
    aborted.add(&unused).await;
    aborted.end(false).await;
    aborted.write(&scene.topic("post"), &junk());
    // Once so, once otherwise; the coordinator knows nothing of this partition.
    let mut both = scene.producer("both").await;
    for commit in [true, false] {
        both.add(&unused).await;
        both.end(commit).await;
    }
    both.write(&scene.topic("product"), &junk());
    // Under way.
    let mut live = scene.producer("live").await;
    live.add(&scene.topic("supplier")).await;
    live.write(&scene.topic("supplier"), &junk());

    // A relay that starts now is held back as well.
    scene.pipeline.relay.kill().await;
    scene.pipeline.relay.restart();
    scene.write_everywhere().await;
    assert_eq!(scene.seen().await, 1, "the record that hangs cannot be seen");
    let held_back = scene.pipeline.outboxctl(&["verify", "--wait", "1"]).await;
    assert_eq!(held_back.status.code(), Some(1), "{}", text(&held_back));

    let (listed, code) = scene.list().await;
    assert_eq!((listed.len(), code), (4, Some(1)), "{listed:#?}");
    let expected = json!({
        "partition": 0, "first_offset": user_offset, "producer_id": committed.id,
        "producer_epoch": committed.epoch, "transactional_id": scene.topic("committed"),
        "coordinator": "CompleteCommit", "verdict": "hanging", "decided": "commit",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&listed["user"][field], value, "{field}: {listed:#?}");
    }
    assert!(listed["user"]["age_seconds"].as_f64().unwrap() < 600.0, "{listed:#?}");
    for (topic, verdict, decided) in [
        ("post", "hanging", json!("abort")),
        ("product", "hanging", Value::Null),
        ("supplier", "live", Value::Null),
    ] {
        let found = &listed[topic];
        assert_eq!((&found["verdict"], &found["decided"]), (&json!(verdict), &decided), "{found}");
    }
    let table = text(&scene.transactions(&["list"]).await);
    assert!(table.contains("hangs; decided: commit (PrepareCommit of "), "{table}");

    let dry = scene.transactions(&["finish", "--all-hanging", "--dry-run"]).await;
    assert_eq!(dry.status.code(), Some(1), "{}", text(&dry));
    assert!(text(&dry).contains("would be ended: abort"), "{}", text(&dry));
    assert_eq!(scene.list().await.0.len(), 4, "nothing was written");

    // What lives is refused, and so is what contradicts the coordinator.
    let supplier = scene.topic("supplier");
    let refused = scene.transactions(&["finish", "--topic", &supplier, "--partition", "0"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("not touched: live"), "{}", text(&refused));
    let unknown = scene.transactions(&["finish", "--topic", &user, "--partition", "9"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    let wrong = ["finish", "--topic", &user, "--partition", "0", "--outcome", "abort"];
    let refused = scene.transactions(&wrong).await;
    assert!(text(&refused).contains("would contradict"), "{}", text(&refused));

    let finished = scene.transactions(&["finish", "--all-hanging"]).await;
    let said = text(&finished);
    assert_eq!(finished.status.code(), Some(1), "one cannot be decided: {said}");
    assert!(said.contains("last stable offset") && said.contains("1 were committed"), "{said}");
    assert_eq!(scene.seen().await, 2, "committed, and so for all to see: {said}");
    let product = scene.topic("product");
    let chosen = ["finish", "--topic", &product, "--partition", "0", "--outcome", "abort"];
    let finished = scene.transactions_securely(&chosen).await;
    assert_eq!(finished.status.code(), Some(0), "{}", text(&finished));

    let (listed, code) = scene.list().await;
    assert_eq!((listed.len(), code), (1, Some(0)), "{listed:#?}");
    live.end(false).await;
    scene.pipeline.verify(Duration::from_secs(60)).await;
    let letters = text(&scene.pipeline.outboxctl(&["dlq", "list"]).await);
    assert_eq!(letters, "no dead letters\n", "what was aborted has been read");
    let (listed, code) = scene.list().await;
    assert_eq!((listed.len(), code), (0, Some(0)), "{listed:#?}");
    let Scene { servers, pipeline, .. } = scene;
    drop(pipeline);
    servers.restart_kafka_with(&[], "").await;
}

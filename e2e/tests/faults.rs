//! What is killed, and what must be left of it: nothing lost, nothing doubled.
//!
//! These tests have servers of their own, which they stop; one test at a time has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{Client, Pipeline, Servers, eventually, sample};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

static SERVERS: Mutex<()> = Mutex::const_new(());

async fn servers_alone() -> (Servers, MutexGuard<'static, ()>) {
    let alone = SERVERS.lock().await;
    (Servers::for_faults().await, alone)
}

/// Steady writes from several clients until told to stop: posts created, changed and
/// deleted, so that entities have versions whose order can break.
struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    async fn start(pipeline: &Pipeline, writers: usize) -> Self {
        let client = pipeline.client();
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let user = sample::user(&format!("writer{writer}@example.com"));
            let user = client.create("/users", "", &user).await["id"].as_str().unwrap().to_owned();
            tasks.push(tokio::spawn(write(client.clone(), user, stop.clone())));
        }
        Self { stop, writers: tasks }
    }

    /// The event ids of all writes that were answered with success.
    async fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for writer in self.writers {
            acknowledged.extend(writer.await.expect("a writer ends by itself"));
        }
        acknowledged
    }
}

/// A client that nothing discourages: what fails for lack of a server is simply lost
/// to it, and it goes on.
async fn write(client: Client, user: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let body = sample::post("under load");
        let Some(post) = attempt(&client, 201, Method::POST, "/posts", &user, body).await else {
            continue;
        };
        let (event_id, document) = post;
        acknowledged.push(event_id);
        let path = format!("/posts/{}", document["id"].as_str().unwrap());
        let change = json!({ "text_content": "changed under load" });
        let changed = attempt(&client, 200, Method::PATCH, &path, &user, change).await;
        let deleted = attempt(&client, 204, Method::DELETE, &path, &user, Value::Null).await;
        acknowledged.extend([changed, deleted].into_iter().flatten().map(|(id, _)| id));
    }
    acknowledged
}

async fn attempt(
    client: &Client,
    status: u16,
    method: Method,
    path: &str,
    user: &str,
    body: Value,
) -> Option<(String, Value)> {
    match client.send(method, path, user, &body).await {
        Ok(answer) if answer.status == status => Some((answer.event_id.unwrap(), answer.body)),
        Ok(answer) => {
            assert_eq!(answer.status, 503, "{path}: {}", answer.body);
            None
        }
        // The API itself is being killed: leave the processor to its next start.
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(10)).await;
            None
        }
    }
}

/// Waits until the topics hold `more` events beyond what they hold now, so that a
/// kill hits a pipeline in full swing.
async fn progress(pipeline: &Pipeline, more: usize) {
    let before = pipeline.events().await.events.len();
    eventually("events flow", Duration::from_secs(60), async || {
        let now = pipeline.events().await.events.len();
        if now >= before + more { Ok(()) } else { Err(format!("{before} -> {now}")) }
    })
    .await;
}

async fn assert_nothing_lost_or_doubled(pipeline: &Pipeline, acknowledged: &[String]) {
    pipeline.verify(Duration::from_secs(60)).await;
    let log = pipeline.events().await;
    log.assert_exactly_once_in_order();
    log.assert_holds(acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_killed_under_load() {
    let (servers, _alone) = servers_alone().await;
    let mut pipeline = Pipeline::start(&servers, "kill").await;
    let load = Load::start(&pipeline, 4).await;
    for _ in 0..3 {
        progress(&pipeline, 50).await;
        pipeline.relay.kill().await;
        pipeline.relay.restart();
        progress(&pipeline, 50).await;
        pipeline.projector.kill().await;
        pipeline.projector.restart();
        progress(&pipeline, 50).await;
        pipeline.api.kill().await;
        pipeline.api.restart();
        pipeline.api.wait_until_ready().await;
    }
    let acknowledged = load.finish().await;
    assert!(acknowledged.len() > 300, "only {} writes in all", acknowledged.len());
    assert_nothing_lost_or_doubled(&pipeline, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_kafka_is_away() {
    let (servers, _alone) = servers_alone().await;
    let pipeline = Pipeline::start(&servers, "kafka").await;
    let client = pipeline.client();
    let user = client.create("/users", "", &sample::user("ada@example.com")).await;
    let user = user["id"].as_str().unwrap();

    servers.control("stop", "kafka").await;
    let mut acknowledged = Vec::new();
    for number in 0..200 {
        let body = sample::post(&format!("without Kafka {number}"));
        let answer = client.expect(201, Method::POST, "/posts", user, &body).await;
        acknowledged.push(answer.event_id.unwrap());
    }
    servers.control("start", "kafka").await;
    assert_nothing_lost_or_doubled(&pipeline, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_starts_before_its_servers_and_says_so_once() {
    let (servers, _alone) = servers_alone().await;
    for server in ["mongodb", "kafka", "mysql"] {
        servers.control("stop", server).await;
    }
    let mut pipeline = Pipeline::launch(&servers, "order");
    for (process, awaited) in [
        (&pipeline.api, &["mongodb"][..]),
        (&pipeline.relay, &["kafka", "mongodb"]),
        (&pipeline.projector, &["mysql"]),
    ] {
        eventually("it names what it waits for", Duration::from_secs(30), async || {
            let log = process.log();
            let named = awaited.iter().any(|server| {
                log.contains("waiting for it") && log.contains(&format!("\"{server}\""))
            });
            if named { Ok(()) } else { Err(log) }
        })
        .await;
    }
    for server in ["mysql", "kafka", "mongodb"] {
        servers.control("start", server).await;
    }
    for process in [&pipeline.api, &pipeline.relay, &pipeline.projector] {
        process.wait_until_ready().await;
        for server in ["mongodb", "kafka", "mysql"] {
            let lines = |line: &&str| {
                line.contains("waiting for it") && line.contains(&format!("\"{server}\""))
            };
            let said = process.log().lines().filter(lines).count();
            assert!(said <= 1, "{server} was reported {said} times {process}");
        }
        let lines = process.log().lines().count();
        assert!(lines < 30, "a line for each attempt? {lines} in all {process}");
    }
    let user = sample::user("late@example.com");
    pipeline.client().create("/users", "", &user).await;
    pipeline.verify(Duration::from_secs(30)).await;
    for process in [&mut pipeline.api, &mut pipeline.relay, &mut pipeline.projector] {
        process.terminate(Duration::from_secs(20)).await;
    }
}

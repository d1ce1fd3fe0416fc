//! The process is killed after MongoDB has committed and before the client is answered.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;

use crate::call::{Call, id};
use crate::database::{Database, mongodb_url};
use crate::documented::DOCUMENT;
use crate::fixtures::new_user;
use crate::proxy::Proxy;

/// The api as a process of its own. Killed (-9) when dropped.
struct Process {
    url: String,
    child: Child,
}

impl Process {
    async fn start(mongodb_url: &str, database: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let child = Command::new(env!("CARGO_BIN_EXE_api"))
            .args(["--addr", &address, "--mongodb-url", mongodb_url, "--database-name", database])
            // Longer than the test: nothing but the kill ends what is in flight.
            .args(["--mongodb-timeout", "60", "--request-timeout", "120"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self { url: format!("http://{address}"), child };
        eventually("it is ready", async || {
            reqwest::get(format!("{}/ready", process.url)).await.is_ok_and(|it| it.status() == 200)
        })
        .await;
        process
    }

    fn sign_up(&self, body: &serde_json::Value) -> Call {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(Method::POST, format!("{}/users", self.url));
        Call::new(&DOCUMENT, Method::POST, "/users", request)
            .header("Idempotency-Key", "mine")
            .json(body)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn eventually(what: &str, state: impl AsyncFn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        while !state().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retry_gets_the_answer_that_was_never_given() {
    let database = Database::fresh().await;
    let proxy = Proxy::start().await;
    let process = Process::start(&proxy.url(), &database.name).await;
    proxy.withhold_commits();
    let body = new_user();
    let request = process.sign_up(&body).into_request();
    let asked = tokio::spawn(async move { request.send().await.map(|answer| answer.status()) });
    eventually("the user is committed", async || !database.all("users").await.is_empty()).await;
    assert!(!asked.is_finished(), "the client was answered before the kill");
    drop(process);
    assert!(asked.await.unwrap().is_err(), "nobody answered");

    let process = Process::start(&mongodb_url(), &database.name).await;
    let stored = database.all("users").await;
    for _ in 0..2 {
        let answer = process.sign_up(&body).await;
        assert_eq!(answer.is(201).header("idempotent-replayed"), Some("true"));
        let user = answer.json();
        assert_eq!(id(&user), stored[0].get_object_id("_id").unwrap().to_hex());
        database.event_of(&answer).await.carries("user.created", &user);
    }
    assert_eq!(database.all("users").await, stored);
    assert_eq!(database.all("outbox").await.len(), 1);
}

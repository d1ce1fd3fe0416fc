//! The process is killed after MongoDB has committed and before the client is answered.

use reqwest::Method;

use crate::call::{Call, id};
use crate::database::{Database, mongodb_url};
use crate::fixtures::new_user;
use crate::process::{Process, eventually};
use crate::proxy::Proxy;

/// Longer than the test: nothing but the kill ends what is in flight.
const PATIENT: [&str; 4] = ["--mongodb-timeout", "60", "--request-timeout", "120"];

fn sign_up(process: &Process, body: &serde_json::Value) -> Call {
    process.call(Method::POST, "/users").header("Idempotency-Key", "mine").json(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retry_gets_the_answer_that_was_never_given() {
    let database = Database::fresh().await;
    let proxy = Proxy::start().await;
    let process = Process::start(&proxy.url(), &database.name, &PATIENT).await;
    proxy.withhold_commits();
    let body = new_user();
    let request = sign_up(&process, &body).into_request();
    let asked = tokio::spawn(async move { request.send().await.map(|answer| answer.status()) });
    eventually("the user is committed", async || !database.all("users").await.is_empty()).await;
    assert!(!asked.is_finished(), "the client was answered before the kill");
    drop(process);
    assert!(asked.await.unwrap().is_err(), "nobody answered");

    let process = Process::start(&mongodb_url(), &database.name, &PATIENT).await;
    let stored = database.all("users").await;
    for _ in 0..2 {
        let answer = sign_up(&process, &body).await;
        assert_eq!(answer.is(201).header("idempotent-replayed"), Some("true"));
        let user = answer.json();
        assert_eq!(id(&user), stored[0].get_object_id("_id").unwrap().to_hex());
        database.event_of(&answer).await.carries("user.created", &user);
    }
    assert_eq!(database.all("users").await, stored);
    assert_eq!(database.all("outbox").await.len(), 1);
}

//! MongoDB away: quick, honest answers, and service again once it is back.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::call::Answer;
use crate::database::Database;
use crate::fixtures::{new_post, new_product, new_supplier, new_user};
use crate::harness::Server;
use crate::proxy::Proxy;

/// What a client may wait at most: the 5 s of the promise, and a second for a busy machine.
const AT_MOST: Duration = Duration::from_secs(6);

/// Reads and writes of every kind; not one may hang or succeed.
async fn refuses_everything(server: &Server) {
    let one = "0".repeat(24);
    let caller = json!({ "id": one });
    let requests: [(Method, String, Value); 8] = [
        (Method::POST, "/users".to_owned(), new_user()),
        (Method::POST, "/suppliers".to_owned(), new_supplier()),
        (Method::POST, "/products".to_owned(), new_product()),
        (Method::POST, "/posts".to_owned(), new_post()),
        (Method::PATCH, format!("/users/{one}"), json!({ "bio": "x" })),
        (Method::DELETE, format!("/suppliers/{one}"), json!({})),
        (Method::GET, "/users".to_owned(), json!({})),
        (Method::GET, format!("/orders/{one}"), json!({})),
    ];
    let send = |(method, path, body): (Method, String, Value)| {
        let call = server.call(method, path).user(&caller).supplier(&caller).json(&body);
        async {
            let asked = Instant::now();
            let answer = call.await;
            assert!(asked.elapsed() < AT_MOST, "{} took {:?}", answer.what, asked.elapsed());
            unavailable(&answer);
        }
    };
    futures::future::join_all(requests.map(send)).await;
}

fn unavailable(answer: &Answer) {
    answer.refused(503, "INTERNAL_ERROR");
    let wait: u64 = answer.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    for internal in ["127.0.0.1", "mongo", "Mongo", "replica", "Kind"] {
        assert!(!answer.text.contains(internal), "{internal} leaks into {}", answer.text);
    }
}

async fn awaits_mongodb(server: &Server) {
    server.call(Method::GET, "/live").await.is(200);
    for path in ["/ready", "/health"] {
        let report = server.call(Method::GET, path).await.is(503).json();
        let state = &report["dependencies"]["mongodb"]["state"];
        assert!(*state == "waiting" || *state == "down", "{path}: {report}");
    }
    assert_eq!(server.call(Method::GET, "/").await.is(200).json()["status"], "degraded");
}

#[tokio::test]
async fn without_mongodb_everything_is_answered_503() {
    // A port that nobody listens on, because it was ours a moment ago.
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let server = Server::start(&format!("mongodb://{closed}/?replicaSet=rs0"), "never_made").await;
    awaits_mongodb(&server).await;
    refuses_everything(&server).await;
    awaits_mongodb(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn it_serves_again_once_mongodb_is_back() {
    let database = Database::fresh().await;
    let proxy = Proxy::start().await;
    let server = Server::start(&proxy.url(), &database.name).await;
    server.until_ready().await;
    let before = server.call(Method::POST, "/users").json(&new_user()).await.is(201).json();

    proxy.cut();
    refuses_everything(&server).await;
    server
        .until("/ready notices", async || server.call(Method::GET, "/ready").await.status == 503)
        .await;
    awaits_mongodb(&server).await;

    proxy.mend();
    server.until_ready().await;
    let list = server.call(Method::GET, "/users").await.is(200).json();
    assert_eq!(list, json!([before]), "nothing of what was refused is there");
    server.call(Method::POST, "/users").json(&new_user()).await.is(201);
    assert_eq!(database.events().await.len(), 2);
}

/// What was taken on before the stop is finished.
#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let database = Database::fresh().await;
    let server = Server::start(&crate::database::mongodb_url(), &database.name).await;
    server.until_ready().await;
    let signing_up = tokio::spawn({
        let call = server.call(Method::POST, "/users").json(&new_user());
        async { call.await }
    });
    let hashing = "a sign-up is in flight";
    server
        .until(hashing, async || {
            let metrics = server.call(Method::GET, "/metrics").await;
            metrics.text.contains("api_hash_queue_depth 1")
                || !database.all("users").await.is_empty()
        })
        .await;
    server.stop().await;
    signing_up.await.unwrap().is(201);
    assert_eq!(database.all("users").await.len(), 1);
}

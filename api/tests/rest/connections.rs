//! Connections: silent, slow, idle, and many. None of them may keep others out.

use std::process::Command;
use std::time::Duration;

use mongodb::bson::oid::ObjectId;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::call::id;
use crate::database::{Database, mongodb_url};
use crate::fixtures::new_user;
use crate::harness::{Api, Server};
use crate::process::Process;

/// Generous, because the machine is busy with other tests.
const SOON: Duration = Duration::from_secs(20);

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Reads until the server hangs up; the bytes, and whether it ended in order.
async fn until_closed(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    (bytes, read.is_ok())
}

/// Reads one answer, whose body has the length that its head says.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let whole = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?;
        Some(body.len() >= length.parse().unwrap())
    };
    while !whole(&text).unwrap_or_default() {
        let read = timeout(SOON, stream.read_buf(&mut text)).await.expect("an answer").unwrap();
        assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&text));
    }
    String::from_utf8(text).unwrap().to_lowercase()
}

/// As many as the process has descriptors, and more.
#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    const SILENT: usize = 1_100;
    let database = Database::fresh().await;
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -n 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_api")]);
    let process = Process::start_by(limited, &mongodb_url(), &database.name, &[]).await;
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(process.address()).await.unwrap();
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET / HT").await;
        }
        silent.push(stream);
    }
    for _ in 0..5 {
        // Each over a connection of its own.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let live = client.get(format!("{}/live", process.url)).send();
        let live = timeout(Duration::from_secs(5), live).await.expect("/live answers in time");
        assert_eq!(live.unwrap().status(), 200);
    }
    process.call(Method::POST, "/users").json(&new_user()).await.is(201);
    drop(silent);
}

#[tokio::test]
async fn a_head_and_the_next_request_have_their_time() {
    let api = Api::with(&["--head-timeout=1", "--idle-timeout=2"]).await;
    let (mut silent, mut half) = (connect(&api.server).await, connect(&api.server).await);
    half.write_all(b"GET /live HTTP/1.1\r\nHost: a").await.unwrap();
    let slow = "POST /users HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{";
    let mut slow_body = connect(&api.server).await;
    slow_body.write_all(slow.as_bytes()).await.unwrap();
    let mut idle = connect(&api.server).await;
    idle.write_all(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.starts_with("http/1.1 200 "));
    assert_eq!(until_closed(&mut silent).await.0, b"");
    until_closed(&mut half).await;
    assert_eq!(until_closed(&mut idle).await.0, b"");
    // By now it was longer at work than any other may wait.
    slow_body.write_all(b"}").await.unwrap();
    assert!(answer(&mut slow_body).await.starts_with("http/1.1 422 "));
}

/// 4 MiB that nobody reads are given back.
#[tokio::test]
async fn an_answer_that_is_not_read_is_dropped() {
    let api = Api::with(&["--write-timeout=1"]).await;
    let supplier = api.supplier().await;
    let draft = api.draft(&supplier).await;
    let mut template = api.database.stored("products", id(&draft)).await.unwrap();
    template.insert("short_description", "x".repeat(3_000_000));
    let mut ask = Vec::new();
    for _ in 0..2 {
        template.insert("_id", ObjectId::new());
        api.database.collection("products").insert_one(&template).await.unwrap();
    }
    for _ in 0..12 {
        let mut stream = connect(&api.server).await;
        stream.write_all(b"GET /products HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        ask.push(stream);
    }
    let page = "GET /products gets room";
    let served = async || api.get("/products").await.status == 200;
    api.server.until(page, served).await;
}

/// A client of a pool must neither lose the answer nor meet a connection that is closed.
#[tokio::test]
async fn who_leaves_a_body_unread_says_so() {
    let api = Api::start().await;
    for _ in 0..10 {
        let body = vec![b' '; 3 << 20];
        let large = api.post("/users").bytes(body.clone()).await;
        large.refused(413, "VALIDATION_ERROR");
        assert_eq!(large.header("connection"), Some("close"));
        let other = api.post("/users").header("content-type", "text/plain").bytes(body);
        assert_eq!(other.await.is(415).header("connection"), Some("close"));
        api.get("/users").await.is(200);
    }
    // A small one that nobody asked for is read and forgotten.
    let mut stream = connect(&api.server).await;
    for _ in 0..3 {
        let request = "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nunread";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 404 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // A client that waits to be asked is not.
    let request = "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\
                   Expect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (bytes, in_order) = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&bytes).to_lowercase();
    assert!(in_order && answer.starts_with("http/1.1 404 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

/// Load balancers learn only later that it goes.
#[tokio::test]
async fn it_says_that_it_goes_and_serves_on() {
    let api = Api::with(&["--drain-delay=5"]).await;
    api.get("/ready").await.is(200);
    api.server.begin_to_stop();
    let ready = async || api.get("/ready").await.status == 503;
    api.server.until("/ready says that it goes", ready).await;
    for _ in 0..10 {
        // Each over a connection of its own, as behind a load balancer.
        let mut stream = connect(&api.server).await;
        stream.write_all(b"GET /users HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let (bytes, in_order) = until_closed(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(in_order && answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    api.post("/users").json(&new_user()).await.is(201);
    let Api { server, .. } = api;
    server.stop().await;
}

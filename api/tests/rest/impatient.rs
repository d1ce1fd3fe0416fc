//! Clients that hang up in mid-request: they cost nobody else anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::call::id;
use crate::database::Database;
use crate::fixtures::{new_post, new_user};
use crate::harness::Server;
use crate::proxy::Proxy;

const IMPATIENT: u64 = 32;
const LASTING: Duration = Duration::from_secs(2);

/// The driver closes the connection of a query that is dropped, and opens few at a time: then
/// all others wait for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_do_not_close_connections_to_mongodb() {
    let database = Database::fresh().await;
    let proxy = Proxy::start().await;
    let server = Server::start(&proxy.url(), &database.name).await;
    server.until_ready().await;
    let user = server.call(Method::POST, "/users").json(&new_user()).await.is(201).json();
    for _ in 0..30 {
        server.call(Method::POST, "/posts").user(&user).json(&new_post()).await.is(201);
    }
    let address = server.address.trim_start_matches("http://").to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let impatient = (0..IMPATIENT).map(|number| {
        let (address, stop) = (address.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                let ask = b"GET /posts?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n";
                stream.write_all(ask).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1 + number % 8)).await;
            }
        })
    });
    let impatient: Vec<_> = impatient.collect();

    let before = proxy.connections();
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < LASTING {
        let asked = Instant::now();
        server.call(Method::GET, format!("/users/{}", id(&user))).await.is(200);
        server.call(Method::POST, "/posts").user(&user).json(&new_post()).await.is(201);
        server.call(Method::GET, "/posts?limit=1").await.is(200);
        slowest = slowest.max(asked.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    futures::future::join_all(impatient).await;
    let opened = proxy.connections() - before;
    eprintln!("{opened} connections opened, the slowest three requests took {slowest:?}");
    assert!(opened <= 64, "{opened} connections to MongoDB were opened: the pool has 64");
}

//! A load generator that costs next to nothing: on two cores it shares them with what
//! it measures, so it sends the same bytes again and looks at little of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::Latencies;

/// A GET, ready to be written to a connection.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: api\r\n\r\n").into_bytes()
}

/// A POST, with an Idempotency-Key or without.
pub fn post(path: &str, user: &str, key: Option<&str>, body: &str) -> Vec<u8> {
    let length = body.len();
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: api\r\ncontent-type: application/json\r\n\
         x-user-id: {user}\r\n{key}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends `requests` in turn over `connections` connections, one after the other on each,
/// for the given time.
///
/// # Panics
/// Where an answer is not 200 or 201.
pub async fn drive(
    address: &str,
    requests: impl Into<Arc<[Vec<u8>]>>,
    connections: usize,
    time: Duration,
) -> Latencies {
    let requests = requests.into();
    let until = Instant::now() + time;
    let mut senders = JoinSet::new();
    for first in 0..connections {
        let in_turn = (first..).step_by(connections);
        senders.spawn(send(address.to_owned(), requests.clone(), in_turn, until));
    }
    Latencies::new(senders.join_all().await.into_iter().flatten().collect())
}

async fn send(
    address: String,
    requests: Arc<[Vec<u8>]>,
    in_turn: impl Iterator<Item = usize>,
    until: Instant,
) -> Vec<Duration> {
    let mut connection = Connection::open(&address).await;
    let mut latencies = Vec::new();
    for number in in_turn {
        if Instant::now() >= until {
            break;
        }
        latencies.push(connection.exchange(&requests[number % requests.len()]).await);
    }
    latencies
}

/// One connection, kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the API listens");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends a request and returns how long its answer took.
    pub async fn exchange(&mut self, request: &[u8]) -> Duration {
        let started = Instant::now();
        self.stream.write_all(request).await.expect("the API reads");
        read_answer(&mut self.stream, &mut self.buffer).await;
        started.elapsed()
    }

    /// Of the last answer.
    pub fn body(&self) -> &[u8] {
        let head = head_of(&self.buffer).unwrap_or(self.buffer.len());
        &self.buffer[head..]
    }
}

async fn read_answer(connection: &mut TcpStream, buffer: &mut Vec<u8>) {
    buffer.clear();
    loop {
        let read = connection.read_buf(buffer).await.expect("the API answers");
        assert!(read > 0, "the API closed the connection");
        if let Some(end) = end_of_answer(buffer) {
            assert!(buffer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(buffer));
            assert_eq!(end, buffer.len(), "one answer at a time");
            return;
        }
    }
}

/// The length of the answer's head, once all of that is there.
fn head_of(buffer: &[u8]) -> Option<usize> {
    Some(buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4)
}

/// The length of the answer, once all of it is there.
fn end_of_answer(buffer: &[u8]) -> Option<usize> {
    let head = head_of(buffer)?;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let (_, rest) = text.split_once("content-length: ")?;
    let length: usize = rest.split("\r\n").next()?.parse().ok()?;
    (buffer.len() >= head + length).then_some(head + length)
}

//! A way to the broker whose answers about the cluster can name no broker: as a broker
//! answers that is about to stop, or has just started.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;

/// Stands between a client and the one broker, whose address it replaces by its own.
pub struct MetadataProxy {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    denies_brokers: AtomicBool,
    answers: AtomicUsize,
    is_frozen: AtomicBool,
    cut: Notify,
    last_request: Mutex<Instant>,
}

impl MetadataProxy {
    /// `server`: host:port.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            denies_brokers: AtomicBool::new(false),
            answers: AtomicUsize::new(0),
            is_frozen: AtomicBool::new(false),
            cut: Notify::new(),
            last_request: Mutex::new(Instant::now()),
        });
        let forwarding = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), forwarding.clone()));
            }
        });
        Self { shared }
    }

    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// Whether every second answer about the cluster names no broker. (To be told so, a client
    /// must have heard of one before.)
    pub fn deny_brokers(&self, yes: bool) {
        self.shared.denies_brokers.store(yes, Ordering::Relaxed);
    }

    /// Whether connections stay, and new ones are accepted, but no request is answered.
    pub fn freeze(&self, yes: bool) {
        self.shared.is_frozen.store(yes, Ordering::Relaxed);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }

    /// How long no client has asked for anything.
    pub fn silence(&self) -> Duration {
        self.shared.last_request.lock().unwrap().elapsed()
    }
}

/// Which request an answer belongs to: its kind by its number.
type Asked = Arc<Mutex<HashMap<i32, i16>>>;

async fn forward(client: TcpStream, server: String, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Asked::default();
    tokio::select! {
        _ = requests(from_client, to_server, &shared, asked.clone()) => {}
        _ = answers(from_server, to_client, &shared, asked) => {}
        () = shared.cut.notified() => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    asked: Asked,
) -> std::io::Result<()> {
    loop {
        let request = frame(&mut from).await?;
        *shared.last_request.lock().unwrap() = Instant::now();
        let kind = i16::from_be_bytes([request[0], request[1]]);
        asked.lock().unwrap().insert(int(&request[4..]), kind);
        write(&mut to, &request).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    asked: Asked,
) -> std::io::Result<()> {
    loop {
        let mut answer = frame(&mut from).await?;
        if shared.is_frozen.load(Ordering::Relaxed) {
            continue;
        }
        let kind = asked.lock().unwrap().remove(&int(&answer));
        match kind {
            Some(METADATA) => answer = about_the_cluster(&answer, shared),
            // Up to version 2 it ends with the coordinator's port.
            Some(FIND_COORDINATOR) => {
                let port = answer.len() - 4;
                answer[port..].copy_from_slice(&i32::from(shared.address.port()).to_be_bytes());
            }
            _ => {}
        }
        write(&mut to, &answer).await?;
    }
}

/// From version 9 on: number, tags, throttle time, then the brokers.
fn about_the_cluster(answer: &[u8], shared: &Shared) -> Vec<u8> {
    let (head, mut rest) = answer.split_at(4 + 1 + 4);
    let brokers = length(&mut rest);
    let mut rewritten = head.to_vec();
    let is_second = shared.answers.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    let names_none = is_second && shared.denies_brokers.load(Ordering::Relaxed);
    // Lengths are one too large, and here below 127.
    rewritten.push(if names_none { 1 } else { brokers as u8 + 1 });
    for _ in 0..brokers {
        let broker = rest;
        rest = &rest[4..];
        let host = length(&mut rest);
        rest = &rest[host..];
        let port = broker.len() - rest.len();
        rest = &rest[4..];
        let rack = length(&mut rest);
        rest = &rest[rack + 1..];
        if !names_none {
            let mut broker = broker[..broker.len() - rest.len()].to_vec();
            broker[port..port + 4].copy_from_slice(&i32::from(shared.address.port()).to_be_bytes());
            rewritten.extend(broker);
        }
    }
    rewritten.extend(rest);
    rewritten
}

fn length(rest: &mut &[u8]) -> usize {
    let length = rest[0];
    assert!(length < 0x80, "longer than these tests need");
    *rest = &rest[1..];
    usize::from(length).saturating_sub(1)
}

fn int(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; from.read_i32().await? as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write(to: &mut OwnedWriteHalf, frame: &[u8]) -> std::io::Result<()> {
    to.write_i32(frame.len() as i32).await?;
    to.write_all(frame).await
}

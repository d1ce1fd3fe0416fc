//! A line between the relay and the broker that can be broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line {
    Whole,
    /// Every connection is reset, new ones too.
    Reset,
    /// Nothing passes, and nobody is told. What was held up arrives late, once it is
    /// whole again.
    Silent,
}

pub struct Proxy {
    port: u16,
    wire: Wire,
}

#[derive(Clone)]
struct Wire {
    line: watch::Sender<Line>,
    /// How many more bytes go to the broker before the line breaks, and how.
    left: Arc<AtomicI64>,
    breaks: watch::Sender<Line>,
    commit: watch::Sender<Commit>,
}

/// What becomes of the next commit that passes.
#[derive(Debug, Clone, PartialEq)]
enum Commit {
    Passes,
    Awaited,
    /// That of this transactional.id: it waits, and nothing else does.
    Held(String),
}

impl Proxy {
    /// Listens on a free port of the loop-back and leads to the broker at `broker`.
    pub async fn open(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Wire {
            line: watch::Sender::new(Line::Whole),
            left: Arc::new(AtomicI64::new(i64::MAX)),
            breaks: watch::Sender::new(Line::Whole),
            commit: watch::Sender::new(Commit::Passes),
        };
        tokio::spawn(accept(listener, broker, wire.clone()));
        Self { port, wire }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the line once so many more bytes have gone to the broker, and returns then.
    pub async fn break_after(&self, bytes: i64, line: Line) {
        self.wire.breaks.send_replace(line);
        self.wire.left.store(bytes, Ordering::SeqCst);
        self.wire.line.subscribe().wait_for(|now| *now == line).await.unwrap();
    }

    pub fn heal(&self) {
        self.wire.line.send_replace(Line::Whole);
    }

    /// Holds the next commit back; returns whose it is once it is there.
    pub async fn hold_commit(&self) -> String {
        self.wire.commit.send_replace(Commit::Awaited);
        let mut watched = self.wire.commit.subscribe();
        match &*watched.wait_for(|now| matches!(now, Commit::Held(_))).await.unwrap() {
            Commit::Held(transactional_id) => transactional_id.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn let_commit_pass(&self) {
        self.wire.commit.send_replace(Commit::Passes);
    }
}

impl Wire {
    fn pass(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap();
        let before = self.left.fetch_sub(bytes, Ordering::SeqCst);
        if before > 0 && before <= bytes {
            self.line.send_replace(*self.breaks.borrow());
        }
    }

    async fn pass_or_hold(&self, request: &[u8]) {
        let Some(id) = committed_by(request) else {
            return;
        };
        let hold = |commit: &mut Commit| {
            let holds = *commit == Commit::Awaited;
            if holds {
                *commit = Commit::Held(id.clone());
            }
            holds
        };
        if self.commit.send_if_modified(hold) {
            let mut watched = self.commit.subscribe();
            watched.wait_for(|now| *now == Commit::Passes).await.unwrap();
        }
    }

    async fn until(&self, wanted: impl Fn(Line) -> bool) {
        self.line.subscribe().wait_for(|line| wanted(*line)).await.unwrap();
    }
}

async fn accept(listener: TcpListener, broker: u16, wire: Wire) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        tokio::spawn(connect(client, broker, wire.clone()));
    }
}

async fn connect(mut client: TcpStream, broker: u16, wire: Wire) {
    client.set_zero_linger().unwrap();
    wire.until(|line| line != Line::Silent).await;
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", broker)).await else {
        return; // the broker is not up yet
    };
    server.set_zero_linger().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        _ = forward(&mut from_client, &mut to_server, &wire, true) => {}
        _ = forward(&mut from_server, &mut to_client, &wire, false) => {}
        () = wire.until(|line| line == Line::Reset) => {}
    }
    // Both are dropped here: with nothing to linger for, that is a reset.
}

async fn forward(
    from: &mut tcp::ReadHalf<'_>,
    to: &mut tcp::WriteHalf<'_>,
    wire: &Wire,
    counted: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        wire.until(|line| line != Line::Silent).await;
        if counted {
            wire.pass_or_hold(&buffer[..read]).await;
        }
        to.write_all(&buffer[..read]).await?;
        if counted {
            wire.pass(read);
        }
    }
}

/// The transactional.id of an `EndTxn` request (key 26). A client has one such request under
/// way and sends it in one piece: <https://kafka.apache.org/protocol>.
fn committed_by(request: &[u8]) -> Option<String> {
    const END_TXN: [u8; 2] = 26_i16.to_be_bytes();
    const NAME: &[u8] = b"outbox-relay";
    if request.get(4..6) != Some(&END_TXN) {
        return None;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let mut names = request.split(|byte| !is_name(byte));
    let name = names.find(|name| name.windows(NAME.len()).any(|part| part == NAME))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

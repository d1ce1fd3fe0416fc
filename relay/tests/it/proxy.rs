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
}

impl Wire {
    fn pass(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap();
        let before = self.left.fetch_sub(bytes, Ordering::SeqCst);
        if before > 0 && before <= bytes {
            self.line.send_replace(*self.breaks.borrow());
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
        to.write_all(&buffer[..read]).await?;
        if counted {
            wire.pass(read);
        }
    }
}

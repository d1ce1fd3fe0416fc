//! A way to MongoDB that can be cut and mended, as the network does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::database::mongodb_url;

/// In the bytes of the command that commits.
const COMMIT: &[u8] = b"commitTransaction";

pub struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
    withholds: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, way) = watch::channel(true);
        let withholds = Arc::new(AtomicBool::new(false));
        let stalls = Arc::new(AtomicBool::new(false));
        let (withheld, stalled) = (withholds.clone(), stalls.clone());
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, way.clone(), withheld.clone(), stalled.clone()));
            }
        });
        Self { address, open, withholds, stalls, connections }
    }

    /// Direct, or the driver would find its own way past us.
    pub fn url(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// That were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends all connections, and refuses new ones at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// From now on MongoDB is told to commit, and nobody hears that it did.
    pub fn withhold_commits(&self) {
        self.withholds.store(true, Ordering::SeqCst);
    }

    /// From now on MongoDB hears everything and is heard no more; connections stay.
    pub fn stall(&self) {
        self.stalls.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.stalls.store(false, Ordering::SeqCst);
        self.open.send_replace(true);
    }
}

async fn forward(
    mut client: TcpStream,
    mut way: watch::Receiver<bool>,
    withholds: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
) {
    let url = mongodb_url();
    let server = url.trim_start_matches("mongodb://").split('/').next().unwrap().to_owned();
    let mut server = TcpStream::connect(server).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let withheld = AtomicBool::new(false);
    let up = pass(&mut from_client, &mut to_server, |bytes| {
        if withholds.load(Ordering::SeqCst) && bytes.windows(COMMIT.len()).any(|at| at == COMMIT) {
            withheld.store(true, Ordering::SeqCst);
        }
        true
    });
    let down = pass(&mut from_server, &mut to_client, |_| {
        !withheld.load(Ordering::SeqCst) && !stalls.load(Ordering::SeqCst)
    });
    tokio::select! {
        _ = way.wait_for(|open| !open) => {}
        () = up => {}
        () = down => {}
    }
}

/// Passes on what `may_pass`, until either side hangs up, which it may do at any time.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    may_pass: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if may_pass(&buffer[..length]) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

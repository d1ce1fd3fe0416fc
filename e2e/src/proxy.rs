//! A way to a server that can be cut and mended, as the network does.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards TCP connections to a server for as long as it lives.
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections end, new ones at once.
    Cut,
    /// Connections stay, and carry nothing: neither side learns of it.
    Silent,
}

impl Proxy {
    /// `server`: host:port.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its number");
        let (way, watched) = watch::channel(Way::Open);
        tokio::spawn(async move {
            // Until the proxy is dropped, and nobody can cut or mend any more.
            while watched.has_changed().is_ok() {
                if let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(forward(client, server.clone(), watched.clone()));
                }
            }
        });
        Self { address, way }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    pub fn silence(&self) {
        self.way.send_replace(Way::Silent);
    }

    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn forward(client: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    let carry = way.clone();
    let forwarding = async move {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Where one side hangs up, so do we, on both.
        tokio::select! {
            () = pump(from_client, to_server, carry.clone()) => {}
            () = pump(from_server, to_client, carry) => {}
        }
    };
    tokio::select! {
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        () = forwarding => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if way.wait_for(|way| *way != Way::Silent).await.is_err()
            || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
}

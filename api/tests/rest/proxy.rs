//! A way to MongoDB that can be cut and mended, as the network does.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::database::mongodb_url;

pub struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, way) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, way.clone()));
            }
        });
        Self { address, open }
    }

    /// Direct, or the driver would find its own way past us.
    pub fn url(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// Ends all connections, and refuses new ones at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn forward(mut client: TcpStream, mut way: watch::Receiver<bool>) {
    let url = mongodb_url();
    let server = url.trim_start_matches("mongodb://").split('/').next().unwrap().to_owned();
    let forwarding = async {
        let mut server = TcpStream::connect(server).await.unwrap();
        // Either side may hang up at any time: that is no failure of ours.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    };
    tokio::select! {
        _ = way.wait_for(|open| !open) => {}
        () = forwarding => {}
    }
}

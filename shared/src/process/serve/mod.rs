//! HTTP/1.1 for every process: an accept loop that no client can hold up.
//!
//! `axum::serve` has no limit on time or number. Here the head of a request, a connection
//! that waits for the next one, and an answer that is not read all have their time; the
//! number of connections is bounded; and at the bound a new connection takes the place of
//! the one that has waited longest, so that silent ones shut nobody out.

mod body;
mod connection;
mod open;
mod watched;

use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};

use self::connection::Connection;
use self::open::Open;
use super::Shutdown;

/// After a failed accept: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that are not for clients: servers, files, and what the runtime needs.
const RESERVED_DESCRIPTORS: usize = 160;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once; fewer where the process may not open as many files.
    pub connections: usize,
    /// Longest time until the head of a request is there, from its first byte or, for the
    /// first one, from the beginning of the connection.
    pub head: Duration,
    /// Longest time between an answer and the next request.
    pub idle: Duration,
    /// Longest time in which a client takes no byte of an answer.
    pub write: Duration,
}

/// When to stop.
#[derive(Debug, Clone)]
pub struct Stopping {
    /// From now on clients are told that their connection ends with its answer.
    pub draining: Shutdown,
    /// From now on no connection is accepted, and those that wait are closed.
    pub stop: Shutdown,
}

/// Serves `app` on `listener` until it is told to stop and the last answer is sent.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: ConnectionLimits,
    stopping: Stopping,
) {
    let most = limits.connections.min(descriptors()).max(1);
    let open = Open::default();
    while let Some((stream, peer)) = accept(&listener, &stopping.stop).await {
        if open.count() >= most && !open.evict() {
            tokio::select! {
                () = open.fewer_than(most) => {}
                () = stopping.stop.cancelled() => break,
            }
        }
        // An answer of several segments must not wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let connection = Connection { app: app.clone(), peer, limits, stopping: stopping.clone() };
        let place = open.enter();
        tokio::spawn(async move { connection.serve(stream, &place).await });
    }
    drop(listener);
    open.fewer_than(1).await;
}

async fn accept(
    listener: &TcpListener,
    stop: &Shutdown,
) -> Option<(TcpStream, std::net::SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// How many connections the limit on open files leaves room for; no bound where the system
/// does not tell.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = files.and_then(|files| files.split_whitespace().next()?.parse::<usize>().ok());
    soft.map_or(usize::MAX, |soft| soft.saturating_sub(RESERVED_DESCRIPTORS))
}

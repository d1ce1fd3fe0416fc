//! One connection, from its first byte to a proper end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::open::{Place, State};
use super::watched::Watched;
use super::{ConnectionLimits, Stopping, body};

/// The longest head of a request; hyper would take six times as much.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An unread body of this size, and on its way already, is read and forgotten: then the
/// connection can go on.
const SMALL_BODY_BYTES: usize = 64 * 1024;
const SMALL_BODY_TIME: Duration = Duration::from_millis(100);

/// For how long, and how many bytes, the client may go on sending after its answer. A
/// connection that is closed with bytes unread is reset, and the answer is lost with it.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 2 * 1024 * 1024;

/// What a connection waits for at most after it was asked to end.
const END_TIME: Duration = Duration::from_secs(1);

pub struct Connection {
    pub app: Router,
    pub peer: SocketAddr,
    pub limits: ConnectionLimits,
    pub stopping: Stopping,
}

impl Connection {
    pub async fn serve(self, stream: TcpStream, place: &Place) {
        let state = place.state.clone();
        let unread = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Watched::new(stream, self.limits, state.clone()));
        let service = service_fn(|request| {
            let (app, peer, draining) =
                (self.app.clone(), self.peer, self.stopping.draining.is_cancelled());
            let (state, unread) = (state.clone(), unread.clone());
            Box::pin(answer(app, request, peer, draining, state, unread))
        });
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(io, service);
        let (mut stopping, mut end) = (false, pin!(None::<tokio::time::Sleep>));
        let ended = loop {
            tokio::select! {
                ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                () = self.stopping.stop.cancelled(), if !stopping => stopping = true,
                () = place.state.evicted.notified(), if end.is_none() => {
                    stopping = true;
                    end.set(Some(tokio::time::sleep(END_TIME)));
                }
                () = elapsed(end.as_mut()), if end.is_some() => return,
            }
            if stopping {
                Pin::new(&mut connection).graceful_shutdown();
            }
        };
        // What hyper refused by itself is unread as well.
        let unread = unread.load(Ordering::Relaxed) || ended.is_err();
        let stream = connection.into_parts().io.into_inner().into_stream();
        if unread {
            linger(stream).await;
        }
    }
}

async fn elapsed(end: Pin<&mut Option<tokio::time::Sleep>>) {
    if let Some(sleep) = end.as_pin_mut() {
        sleep.await;
    }
}

/// Tells the client that nothing more comes, and hears it out.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let hear_out = async {
        let (mut buffer, mut left) = (vec![0; 16 * 1024], LINGER_BYTES);
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER_TIME, hear_out).await;
}

async fn answer(
    mut app: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    draining: bool,
    state: Arc<State>,
    unread: Arc<AtomicBool>,
) -> Result<Response<body::Answer>, Infallible> {
    state.works();
    // From here on, so that the connection waits again also if this is dropped.
    let mut answer = body::Answer { body: Body::empty(), state };
    // To read on would ask such a client to send what it has held back.
    let holds_back = request.headers().contains_key(header::EXPECT);
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut rest = body::Rest::default();
    if !request.body().is_end_stream() {
        let (tracked, of_it) = body::Request::new(std::mem::take(request.body_mut()));
        *request.body_mut() = Body::new(tracked);
        rest = of_it;
    }
    let Ok(response) = app.call(request).await;
    let (mut head, body) = response.into_parts();
    answer.body = body;
    let is_left = match rest.take() {
        Some(rest) => holds_back || !forget(rest).await,
        None => false,
    };
    unread.fetch_or(is_left, Ordering::Relaxed);
    if is_left || draining {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(Response::from_parts(head, answer))
}

/// Reads a small body to its end; false if it is not small, or not there.
async fn forget(rest: Body) -> bool {
    let mut rest = pin!(rest);
    let read = async {
        let mut bytes = 0;
        while bytes <= SMALL_BODY_BYTES {
            match poll_fn(|cx| rest.as_mut().poll_frame(cx)).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
            }
        }
        false
    };
    timeout(SMALL_BODY_TIME, read).await.unwrap_or(false)
}

//! A stream that fails where its client takes too long.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ConnectionLimits;
use super::open::State;

pub struct Watched {
    stream: TcpStream,
    limits: ConnectionLimits,
    state: Arc<State>,
    /// Whether bytes of a head have come, or it is the first one.
    in_head: bool,
    reading: Timer,
    writing: Timer,
}

/// Runs from the first time that something is waited for.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn stop(&mut self) {
        self.0 = None;
    }

    /// Fails once `time` is over.
    fn poll(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<io::Error> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(ErrorKind::TimedOut.into())
    }
}

impl Watched {
    pub fn new(stream: TcpStream, limits: ConnectionLimits, state: Arc<State>) -> Self {
        let (reading, writing) = (Timer::default(), Timer::default());
        Self { stream, limits, state, in_head: true, reading, writing }
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match poll(Pin::new(&mut self.stream), cx) {
            Poll::Pending => self.writing.poll(cx, self.limits.write).map(Err),
            written => {
                self.writing.stop();
                written
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.state.is_busy() {
            // The handler has a time for the body; what comes after it is the next head.
            this.in_head = false;
            this.reading.stop();
            return read;
        }
        match read {
            Poll::Pending => {
                let time = if this.in_head { this.limits.head } else { this.limits.idle };
                this.reading.poll(cx, time).map(Err)
            }
            Poll::Ready(result) => {
                if !this.in_head {
                    this.in_head = true;
                    this.reading.stop();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wrote(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

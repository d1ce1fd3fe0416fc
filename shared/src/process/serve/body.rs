//! Bodies that tell how far they are.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::open::State;

/// The body of a request. What is not read of it is left in `rest`.
pub struct Request {
    body: Body,
    rest: Rest,
}

/// What the handler did not read.
#[derive(Clone, Default)]
pub struct Rest(Arc<Mutex<Option<Body>>>);

impl Request {
    pub fn new(body: Body) -> (Self, Rest) {
        let rest = Rest::default();
        (Self { body, rest: rest.clone() }, rest)
    }
}

impl Rest {
    pub fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let rest = std::mem::take(&mut self.body);
            *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

impl HttpBody for Request {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.body = Body::empty();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Once it is sent, its connection waits for the next request.
pub struct Answer {
    pub body: Body,
    pub state: Arc<State>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.state.waits();
    }
}

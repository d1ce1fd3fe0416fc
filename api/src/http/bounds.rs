//! What one request may take, and how many at once: beyond it the answer is quick and
//! honest instead of late.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::ApiError;
use crate::openapi::{Described, Operation, Schemas};

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct Bounds {
    places: Arc<Semaphore>,
    in_flight: IntGauge,
    body: Duration,
    request: Duration,
}

/// When the body must have arrived.
#[derive(Clone, Copy)]
pub struct BodyDeadline(pub Instant);

/// Until when a request that waits for something may do so: a moment before it would be
/// ended.
#[derive(Clone, Copy)]
pub struct AnswerBy(pub Instant);

impl<S: Send + Sync> FromRequestParts<S> for AnswerBy {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().copied();
        Ok(known.unwrap_or_else(|| Self(Instant::now())))
    }
}

impl Described for AnswerBy {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl Bounds {
    pub fn new(most: usize, body: Duration, request: Duration, in_flight: IntGauge) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), in_flight, body, request }
    }

    fn place(&self) -> Option<Place<'_>> {
        let permit = self.places.try_acquire().ok()?;
        self.in_flight.inc();
        Some(Place { _permit: permit, in_flight: &self.in_flight })
    }
}

/// Given back when dropped, also where the client has hung up.
struct Place<'a> {
    _permit: SemaphorePermit<'a>,
    in_flight: &'a IntGauge,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

/// Sheds what is too many with 503, and ends what takes too long.
pub async fn bound(State(bounds): State<Bounds>, mut request: Request, next: Next) -> Response {
    let Some(_place) = bounds.place() else {
        return ApiError::Overloaded.into_response();
    };
    let now = Instant::now();
    request.extensions_mut().insert(BodyDeadline(now + bounds.body));
    let margin = (bounds.request / 4).min(Duration::from_secs(1));
    request.extensions_mut().insert(AnswerBy(now + bounds.request - margin));
    let answered = timeout(bounds.request, next.run(request)).await;
    answered.unwrap_or_else(|_| ApiError::TimedOut.into_response())
}

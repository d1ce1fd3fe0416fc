//! What one request may take, and how many at once: beyond it the answer is quick and
//! honest instead of late.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::ApiError;

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
    request.extensions_mut().insert(BodyDeadline(Instant::now() + bounds.body));
    let answered = timeout(bounds.request, next.run(request)).await;
    answered.unwrap_or_else(|_| ApiError::TimedOut.into_response())
}

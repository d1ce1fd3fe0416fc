//! How long and how much is read at once.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::Store;
use crate::http::ApiError;

/// Bytes of large pages that are made or on their way to clients.
const ROOM_BYTES: u32 = 24 << 20;
/// A page needs so much while it is made: as stored, as read, and as text.
pub const PAGE_ROOM_BYTES: u32 = 12 << 20;

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reads {
    queries: Arc<Semaphore>,
    room: Arc<Semaphore>,
    wait_seconds: Histogram,
    time: Duration,
}

impl Reads {
    /// At most `queries` at once, each for at most `time`.
    pub fn new(queries: usize, time: Duration, wait_seconds: Histogram) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES as usize));
        Self { queries: Arc::new(Semaphore::new(queries)), room, wait_seconds, time }
    }
}

impl Store {
    /// Runs a query once it is its turn, within the configured time. A query that has begun
    /// runs to its end, also if its client hangs up: the driver closes the connection of a query
    /// that is dropped, and all other requests would wait for a new one.
    pub(super) async fn in_time<T: Send + 'static>(
        &self,
        query: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Reads { queries, wait_seconds, time, .. } = &self.reads;
        let waited = wait_seconds.start_timer();
        let deadline = Instant::now() + *time;
        let turn = timeout_at(deadline, queries.clone().acquire_owned()).await;
        waited.observe_duration();
        let turn = turn.map_err(|_| ApiError::Overloaded)?.map_err(ApiError::internal)?;
        let running = tokio::spawn(async move {
            let _turn = turn;
            timeout_at(deadline, query).await.unwrap_or(Err(ApiError::UNAVAILABLE))
        });
        running.await.map_err(ApiError::internal)?
    }

    /// Room for a large page while it is made and sent.
    ///
    /// # Errors
    /// Overloaded, if none becomes free in time.
    pub(super) async fn room(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let room = self.reads.room.clone().acquire_many_owned(PAGE_ROOM_BYTES);
        let room = timeout(self.reads.time, room).await.map_err(|_| ApiError::Overloaded)?;
        room.map_err(ApiError::internal)
    }
}

//! One reading for all who look: however many pages are open, MongoDB is read at most
//! every half second, one read after the other, and not at all where nobody looks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use shared::Timestamp;
use tokio::time::{Instant, timeout};

use super::reading::{Answers, Reading};
use crate::store::Store;

/// From the beginning of one read to that of the next, at least.
const EVERY: Duration = Duration::from_millis(500);
/// How long MongoDB may take. After it the answer is that nothing is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub struct Latest {
    store: Store,
    last: Arc<Mutex<Option<Read>>>,
}

/// A read, under way or done.
struct Read {
    begun: Instant,
    reading: Shared<BoxFuture<'static, Arc<Reading>>>,
}

impl Latest {
    pub fn of(store: Store) -> Self {
        Self { store, last: Arc::default() }
    }

    /// What was read less than half a second ago, or is read now.
    pub async fn reading(&self) -> Arc<Reading> {
        self.read().await
    }

    fn read(&self) -> Shared<BoxFuture<'static, Arc<Reading>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = last.as_ref().filter(|read| read.is_fresh()) {
            return read.reading.clone();
        }
        let before = last.as_ref().and_then(Read::answered);
        let reading = self.begin(before);
        *last = Some(Read { begun: Instant::now(), reading: reading.clone() });
        reading
    }

    /// A task of its own: it comes to its end even where all who asked have hung up.
    fn begin(&self, before: Option<Answers>) -> Shared<BoxFuture<'static, Arc<Reading>>> {
        let store = self.store.clone();
        let reading = tokio::spawn(async move { Arc::new(read(&store, before).await) });
        let reading = reading.map(|read| {
            read.unwrap_or_else(|error| {
                tracing::error!(%error, "the pipeline's status could not be read");
                Arc::new(Reading::unknown(Timestamp::now()))
            })
        });
        reading.boxed().shared()
    }
}

impl Read {
    fn is_fresh(&self) -> bool {
        self.reading.peek().is_none() || self.begun.elapsed() < EVERY
    }

    fn answered(&self) -> Option<Answers> {
        self.reading.peek().map(|reading| reading.mongodb)
    }
}

/// Says in the log once that MongoDB gives no answer, not at each read.
async fn read(store: &Store, before: Option<Answers>) -> Reading {
    let now = Timestamp::now();
    let problem = match timeout(PATIENCE, store.pipeline(now)).await {
        Ok(Ok(pipeline)) => return Reading::of(pipeline, Timestamp::now()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    if before != Some(Answers::Away) {
        tracing::warn!(problem, "MongoDB does not answer: the pipeline's status is unknown");
    }
    Reading::without_mongodb(Timestamp::now())
}

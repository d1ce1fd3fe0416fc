//! The connections that are open, and which of them only waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Open(Arc<Inner>);

#[derive(Default)]
struct Inner {
    places: Mutex<HashMap<u64, Arc<State>>>,
    next: AtomicU64,
    left: Notify,
}

/// One connection's place; given back when dropped.
pub struct Place {
    open: Open,
    key: u64,
    pub state: Arc<State>,
}

/// What a connection is at.
pub struct State {
    began: Instant,
    /// Since when it waits for a request, in milliseconds after `began`; or [`BUSY`].
    waits_since: AtomicU64,
    pub evicted: Notify,
}

const BUSY: u64 = u64::MAX;

impl Open {
    pub fn enter(&self) -> Place {
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State {
            began: Instant::now(),
            waits_since: AtomicU64::new(0),
            evicted: Notify::new(),
        });
        self.lock().insert(key, state.clone());
        Place { open: self.clone(), key, state }
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Takes the place of the connection that has waited longest for a request; false if
    /// none waits.
    pub fn evict(&self) -> bool {
        let mut places = self.lock();
        let waiting = places.iter().filter_map(|(key, state)| Some((state.waits_since()?, *key)));
        let Some((_, key)) = waiting.min() else {
            return false;
        };
        if let Some(state) = places.remove(&key) {
            state.evicted.notify_one();
        }
        true
    }

    pub async fn fewer_than(&self, count: usize) {
        loop {
            let left = self.0.left.notified();
            if self.count() < count {
                return;
            }
            left.await;
        }
    }

    /// Every change of the map is a single call, so a panic cannot have damaged it.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.lock().remove(&self.key);
        self.open.0.left.notify_waiters();
    }
}

impl State {
    /// A request is there.
    pub fn works(&self) {
        self.waits_since.store(BUSY, Ordering::Relaxed);
    }

    /// It is answered.
    pub fn waits(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(BUSY - 1);
        self.waits_since.store(since, Ordering::Relaxed);
    }

    pub fn is_busy(&self) -> bool {
        self.waits_since.load(Ordering::Relaxed) == BUSY
    }

    fn waits_since(&self) -> Option<Instant> {
        let since = self.waits_since.load(Ordering::Relaxed);
        (since != BUSY).then(|| self.began + std::time::Duration::from_millis(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_longest_makes_room() {
        let open = Open::default();
        let places = [open.enter(), open.enter(), open.enter()];
        places[0].state.works();
        places[1].state.works();
        places[1].state.waits();
        places[2].state.works();
        assert!(open.evict());
        assert_eq!(open.count(), 2);
        assert!(!open.evict(), "the others are at work");
        drop(places);
        assert_eq!(open.count(), 0);
    }
}

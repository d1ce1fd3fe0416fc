//! Password hashing that a burst of sign-ups or logins cannot turn into an outage.

mod hasher;

use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::http::ApiError;
use crate::metrics::Metrics;
use hasher::{HashError, Hasher};

/// Hashes with argon2id on threads of its own, with a bounded number waiting.
///
/// Each hash takes 19 MiB. The allocator keeps such a block for the thread that had it,
/// and cuts it up: on the runtime's blocking threads that grew to hundreds of megabytes.
/// A thread here has one block and uses it again, until nobody waits.
#[derive(Clone)]
pub struct PasswordHashing {
    jobs: Sender<Job>,
    admitted: Arc<Semaphore>,
    metrics: Metrics,
}

/// What a login found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    Wrong,
    Right,
    /// Right, and the hash is one that we would no longer make.
    Outdated,
}

/// A password, what to do with it, and whom to tell. The place in the queue is held
/// until it is done, also when the client has gone by then.
struct Job {
    password: String,
    work: Work,
    _place: OwnedSemaphorePermit,
}

enum Work {
    Hash(Reply<String>),
    /// Without a hash: as much work, and wrong.
    Verify(Option<String>, Reply<Verified>),
}

type Reply<T> = oneshot::Sender<Result<T, HashError>>;

impl PasswordHashing {
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(threads: usize, queue: usize, metrics: &Metrics) -> std::io::Result<Self> {
        let (jobs, arriving) = channel();
        let arriving = Arc::new(Mutex::new(arriving));
        for number in 1..=threads {
            let arriving = arriving.clone();
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            thread.spawn(move || work_all(&arriving))?;
        }
        let admitted = Arc::new(Semaphore::new(threads.saturating_add(queue)));
        Ok(Self { jobs, admitted, metrics: metrics.clone() })
    }

    /// The PHC string (`$argon2id$…`) of a password, with a salt of its own.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] where too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        self.run("hash", password, Work::Hash).await
    }

    /// Whether this is the password of `stored`, an argon2 or bcrypt hash. Where there is
    /// none, or an unusable one, it takes as long, and is wrong.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] where too many wait already.
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Verified, ApiError> {
        self.run("verify", password, |reply| Work::Verify(stored, reply)).await
    }

    async fn run<T>(
        &self,
        operation: &str,
        password: String,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, ApiError> {
        let place = self.admitted.clone().try_acquire_owned();
        let place = place.map_err(|_| ApiError::RateLimited { retry_after_seconds: 2 })?;
        let _counted = Counted::one(&self.metrics.hash_queue_depth);
        self.metrics.hashes.with_label_values(&[operation]).inc();
        let (reply, done) = oneshot::channel();
        let job = Job { password, work: work(reply), _place: place };
        self.jobs.send(job).map_err(|_| ApiError::internal("no thread hashes"))?;
        done.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
    }
}

/// One thread's work, until the last sender is gone.
fn work_all(arriving: &Mutex<Receiver<Job>>) {
    let mut hasher = Hasher::default();
    loop {
        let Ok(Job { password, work, _place }) = next(arriving, &mut hasher) else { return };
        // A client that has gone needs no reply.
        match work {
            Work::Hash(reply) => drop(reply.send(hasher.hash(&password))),
            Work::Verify(stored, reply) => {
                drop(reply.send(hasher.verify(&password, stored.as_deref())));
            }
        }
    }
}

/// Whoever waits for a job holds the lock; the others wait for the lock.
fn next(arriving: &Mutex<Receiver<Job>>, hasher: &mut Hasher) -> Result<Job, RecvError> {
    let arriving = arriving.lock().unwrap_or_else(PoisonError::into_inner);
    match arriving.try_recv() {
        Err(TryRecvError::Empty) => {
            // More than all else that the api holds; to have it again costs two milliseconds.
            hasher.release_memory();
            arriving.recv()
        }
        job => job.map_err(|_| RecvError),
    }
}

/// Counts while it lives, so that a dropped request is uncounted too.
struct Counted<'a>(&'a IntGauge);

impl<'a> Counted<'a> {
    fn one(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_the_crowd_beyond_the_queue_and_recovers() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let hashing = PasswordHashing::start(1, 1, &metrics).unwrap();
        let attempts = (0..8).map(|_| hashing.hash("correct horse".to_owned()));
        let outcomes = futures::future::join_all(attempts).await;
        let refused = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(ApiError::RateLimited { .. })))
            .count();
        assert_eq!(refused, 6, "one runs, one waits");
        assert_eq!(metrics.hash_queue_depth.get(), 0);
        // Places are given back just after the answers.
        while hashing.admitted.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(hashing.hash("again".to_owned()).await.is_ok());
    }
}

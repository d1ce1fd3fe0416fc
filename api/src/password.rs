//! Password hashing that a burst of sign-ups cannot turn into an outage.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::http::ApiError;

/// Hashes with argon2id on threads of its own, with a bounded number waiting.
///
/// Each hash takes 19 MiB. The allocator keeps such a block for the thread that had it,
/// and cuts it up: on the runtime's blocking threads that grew to hundreds of megabytes.
/// A thread here has one block and uses it again.
#[derive(Clone)]
pub struct PasswordHashing {
    jobs: Sender<Job>,
    admitted: Arc<Semaphore>,
    waiting: IntGauge,
}

struct Job {
    password: String,
    reply: oneshot::Sender<Result<String, argon2::password_hash::Error>>,
    /// Held until the hash is done, also when the client has gone by then.
    _place: OwnedSemaphorePermit,
}

impl PasswordHashing {
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(threads: usize, queue: usize, waiting: IntGauge) -> std::io::Result<Self> {
        let (jobs, arriving) = channel();
        let arriving = Arc::new(Mutex::new(arriving));
        for number in 1..=threads {
            let arriving = arriving.clone();
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            thread.spawn(move || hash_all(&arriving))?;
        }
        let admitted = Arc::new(Semaphore::new(threads.saturating_add(queue)));
        Ok(Self { jobs, admitted, waiting })
    }

    /// The PHC string (`$argon2id$…`) of a password, with a salt of its own.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] where too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let place = self.admitted.clone().try_acquire_owned();
        let place = place.map_err(|_| ApiError::RateLimited { retry_after_seconds: 2 })?;
        let _counted = Counted::one(&self.waiting);
        let (reply, hashed) = oneshot::channel();
        let job = Job { password, reply, _place: place };
        self.jobs.send(job).map_err(|_| ApiError::internal("no thread hashes"))?;
        hashed.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
    }
}

/// One thread's work, until the last sender is gone.
fn hash_all(arriving: &Mutex<Receiver<Job>>) {
    let mut hasher = Hasher::default();
    loop {
        // Whoever waits for a job holds the lock; the others wait for the lock.
        let next = arriving.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { password, reply, _place }) = next else { return };
        // A client that has gone needs none.
        let _ = reply.send(hasher.hash(&password));
    }
}

/// Argon2id with its default costs, in memory that is used again.
#[derive(Default)]
struct Hasher {
    argon2: Argon2<'static>,
    memory: Vec<Block>,
}

impl Hasher {
    fn hash(&mut self, password: &str) -> Result<String, argon2::password_hash::Error> {
        let params = self.argon2.params();
        self.memory.resize(params.block_count(), Block::default());
        let salt = Salt::new(&rand::random::<[u8; 16]>())?;
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        let memory = self.memory.as_mut_slice();
        self.argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut out, memory)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params)?,
            salt: Some(salt),
            hash: Some(Output::new(&out)?),
        };
        Ok(hash.to_string())
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
    use argon2::PasswordVerifier;

    fn hashing(threads: usize, queue: usize) -> PasswordHashing {
        PasswordHashing::start(threads, queue, IntGauge::new("waiting", "test").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn makes_argon2id_with_a_salt_of_its_own() {
        let hashing = hashing(1, 1);
        let first = hashing.hash("correct horse".to_owned()).await.unwrap();
        let second = hashing.hash("correct horse".to_owned()).await.unwrap();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        for hash in [&first, &second] {
            let hash = PasswordHash::new(hash).unwrap();
            assert!(Argon2::default().verify_password(b"correct horse", &hash).is_ok());
            assert!(Argon2::default().verify_password(b"wrong horse", &hash).is_err());
        }
        assert_ne!(first, second, "the same salt twice");
    }

    #[tokio::test]
    async fn refuses_the_crowd_beyond_the_queue_and_recovers() {
        let hashing = hashing(1, 1);
        let attempts = (0..8).map(|_| hashing.hash("correct horse".to_owned()));
        let outcomes = futures::future::join_all(attempts).await;
        let refused = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(ApiError::RateLimited { .. })))
            .count();
        assert_eq!(refused, 6, "one runs, one waits");
        assert_eq!(hashing.waiting.get(), 0);
        // Places are given back just after the answers.
        while hashing.admitted.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(hashing.hash("again".to_owned()).await.is_ok());
    }
}

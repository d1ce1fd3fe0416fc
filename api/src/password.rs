//! Password hashing that a burst of sign-ups cannot turn into an outage.

use std::sync::Arc;

use argon2::{Argon2, password_hash::PasswordHasher};
use prometheus::IntGauge;
use tokio::sync::Semaphore;

use crate::http::ApiError;

/// Hashes with argon2id on blocking threads, a bounded number at once (each costs
/// a core and 19 MiB), with a bounded number waiting.
#[derive(Clone)]
pub struct PasswordHashing {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    waiting: IntGauge,
}

impl PasswordHashing {
    pub fn new(threads: usize, queue: usize, waiting: IntGauge) -> Self {
        Self {
            running: Arc::new(Semaphore::new(threads)),
            admitted: Arc::new(Semaphore::new(threads.saturating_add(queue))),
            waiting,
        }
    }

    /// The PHC string (`$argon2id$…`) of a password, with a salt of its own.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`] where too many wait already.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let _place = self
            .admitted
            .try_acquire()
            .map_err(|_| ApiError::RateLimited { retry_after_seconds: 2 })?;
        let _counted = Counted::one(&self.waiting);
        let turn = self.running.clone().acquire_owned().await.map_err(ApiError::internal)?;
        let hashed = tokio::task::spawn_blocking(move || {
            // Held until the hash is done, also when the client has gone by then.
            let _turn = turn;
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        });
        hashed.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
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

    fn hashing(threads: usize, queue: usize) -> PasswordHashing {
        PasswordHashing::new(threads, queue, IntGauge::new("waiting", "test").unwrap())
    }

    #[tokio::test]
    async fn makes_argon2id_with_a_salt_of_its_own() {
        let hashing = hashing(1, 1);
        let first = hashing.hash("correct horse".to_owned()).await.unwrap();
        let second = hashing.hash("correct horse".to_owned()).await.unwrap();
        assert!(first.starts_with("$argon2id$"), "{first}");
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
        assert!(hashing.hash("again".to_owned()).await.is_ok());
    }
}

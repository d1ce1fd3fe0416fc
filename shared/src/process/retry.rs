use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use super::{Dependency, Shutdown};

/// How long to wait between attempts: exponential with ±50 % jitter, for ever.
///
/// Retry is data: the code that fails says what kind of failure it is
/// ([`Failure`]), the loop here is the only one that waits.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub initial: Duration,
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// For servers: quick enough for a blip, gentle enough for an outage.
    fn default() -> Self {
        Self { initial: Duration::from_millis(50), max: Duration::from_secs(5) }
    }
}

impl RetryPolicy {
    /// The endless sequence of waits between attempts.
    pub fn waits(self) -> impl Iterator<Item = Duration> + Send {
        let mut backoff = ExponentialBackoff {
            current_interval: self.initial,
            initial_interval: self.initial,
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: self.max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        // Without a maximum of elapsed time there is always a next wait.
        std::iter::repeat_with(move || backoff.next_backoff().unwrap_or(self.max))
    }
}

/// What an attempt that failed means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The other side is away or busy: the same attempt can succeed later.
    Transient,
    /// No attempt of this kind will ever succeed.
    Permanent,
}

/// Why [`retry`] returned without a result.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted<E> {
    #[error("shutting down")]
    Shutdown,
    #[error(transparent)]
    Permanent(E),
}

/// Attempts `op` until it succeeds, fails for good or the process shuts down,
/// and keeps `dependency` informed of what it sees.
///
/// # Errors
/// [`Interrupted`]: never a transient failure.
pub async fn retry<T, E, F, Fut>(
    policy: RetryPolicy,
    shutdown: &Shutdown,
    dependency: &Dependency,
    kind: impl Fn(&E) -> Failure,
    mut op: F,
) -> Result<T, Interrupted<E>>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut waits = policy.waits();
    loop {
        let attempt = tokio::select! {
            () = shutdown.cancelled() => return Err(Interrupted::Shutdown),
            attempt = op() => attempt,
        };
        let error = match attempt {
            Ok(value) => {
                dependency.up();
                return Ok(value);
            }
            Err(error) => error,
        };
        if kind(&error) == Failure::Permanent {
            return Err(Interrupted::Permanent(error));
        }
        dependency.down(&error);
        let wait = waits.next().unwrap_or(policy.max);
        tokio::select! {
            () = shutdown.cancelled() => return Err(Interrupted::Shutdown),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Health;

    const QUICK: RetryPolicy =
        RetryPolicy { initial: Duration::from_millis(1), max: Duration::from_millis(4) };

    #[test]
    fn waits_grow_to_the_maximum_and_never_end() {
        let waits: Vec<_> = RetryPolicy::default().waits().take(30).collect();
        assert_eq!(waits.len(), 30);
        assert!(waits[0] <= Duration::from_millis(75), "{:?}", waits[0]);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(7_500)), "{waits:?}");
        assert!(waits[29] >= Duration::from_millis(2_500), "{:?}", waits[29]);
    }

    #[tokio::test]
    async fn goes_on_through_transient_failures_and_reports_them() {
        let health = Health::default();
        let server = health.dependency("server");
        let mut attempts = 0;
        let op = || {
            attempts += 1;
            let outcome = if attempts < 3 { Err("away") } else { Ok(attempts) };
            std::future::ready(outcome)
        };
        let transient = |_: &&str| Failure::Transient;
        let result = retry(QUICK, &Shutdown::default(), &server, transient, op).await;
        assert_eq!(result.unwrap(), 3);
        assert!(health.is_ready());
    }

    #[tokio::test]
    async fn stops_at_a_permanent_failure_and_at_shutdown() {
        let server = Health::default().dependency("server");
        let permanent = |_: &&str| Failure::Permanent;
        let fail = || std::future::ready(Err::<(), _>("refused"));
        let result = retry(QUICK, &Shutdown::default(), &server, permanent, fail).await;
        assert!(matches!(result, Err(Interrupted::Permanent("refused"))));

        let shutdown = Shutdown::default();
        shutdown.cancel();
        let transient = |_: &&str| Failure::Transient;
        let result = retry(QUICK, &shutdown, &server, transient, fail).await;
        assert!(matches!(result, Err(Interrupted::Shutdown)));
    }
}

use std::time::{Duration, Instant};

/// Looks again and again until `look` finds what it is after, or fails the test
/// with `what` was awaited and what was seen last.
///
/// # Panics
/// When the deadline passes.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        let seen = match look().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(started.elapsed() < deadline, "{what}: not within {deadline:?}; last seen: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

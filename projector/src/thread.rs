//! Calls that may block for as long as librdkafka pleases.

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own. Unlike `spawn_blocking`, nothing waits for it at the
/// process's end. The receiver fails if `work` panicked, or no thread could be had.
pub(crate) fn detached<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(move || {
        // Who asked may have lost interest.
        let _ = done.send(work());
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, name, "no thread");
    }
    result
}

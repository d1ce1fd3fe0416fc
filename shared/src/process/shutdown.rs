use tokio::signal::unix::{SignalKind, signal};

/// Cancelled once the process shall stop: the trigger is a value that is handed
/// down, so that a test stops a process's parts without a signal.
pub type Shutdown = tokio_util::sync::CancellationToken;

/// A [`Shutdown`] that SIGTERM and Ctrl-C cancel.
///
/// # Errors
/// Where the operating system refuses the signal handlers.
pub fn shutdown_on_signal() -> std::io::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let trigger = shutdown.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        trigger.cancel();
    });
    Ok(shutdown)
}

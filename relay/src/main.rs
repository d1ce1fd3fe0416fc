use std::process::ExitCode;
use std::time::Duration;

use relay::config::Config;
use shared::process::{shutdown_on_signal, start_telemetry};

/// How long a stop waits for calls to Kafka that block: a client that has lost its brokers
/// may never let go.
const BLOCKED: Duration = Duration::from_secs(2);

// One thread reads, another one publishes (it blocks): a second one that reads would only
// be woken more often than there is something to do.
fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("relay: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(BLOCKED);
    code
}

async fn run() -> ExitCode {
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("relay: {error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = start_telemetry(&config.log) {
        eprintln!("relay: log filter: {error}");
        return ExitCode::from(2);
    }
    let outcome = match shutdown_on_signal() {
        Ok(shutdown) => Box::pin(relay::run(config, shutdown)).await,
        Err(error) => Err(relay::RunError::from(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}

use std::process::ExitCode;

use relay::config::Config;
use shared::process::{shutdown_on_signal, start_telemetry};

// Two stages, and little beside them: more threads would only cost memory.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
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
        Ok(shutdown) => relay::run(config, shutdown).await,
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

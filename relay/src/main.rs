use std::process::ExitCode;

use relay::config::Config;
use shared::process::{shutdown_on_signal, start_telemetry};

// One thread reads, another one publishes (it blocks): a second one that reads would only
// be woken more often than there is something to do.
#[tokio::main(flavor = "current_thread")]
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

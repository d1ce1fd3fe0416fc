use std::process::ExitCode;

use clap::Parser;
use projector::config::Config;
use shared::process::{shutdown_on_signal, start_telemetry};

// It waits for Kafka or for MySQL: a second thread would only be woken more often than there
// is something to do.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = start_telemetry(&config.log) {
        clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n")).exit();
    }
    let outcome = match shutdown_on_signal() {
        Ok(shutdown) => projector::run(config, shutdown).await,
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

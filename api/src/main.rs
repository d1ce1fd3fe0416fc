use std::error::Error;
use std::process::ExitCode;

use api::Config;
use clap::Parser;
use shared::process::{shutdown_on_signal, start_telemetry};
use tokio::net::TcpListener;

/// A request makes hundreds of small values on one thread and drops them on another, which
/// costs glibc's allocator a fifth of the api's own time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = start_telemetry(&config.log) {
        eprintln!("RUST_LOG: {error}");
        return ExitCode::FAILURE;
    }
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "api cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shutdown = shutdown_on_signal()?;
    let listener = TcpListener::bind(config.addr).await?;
    api::run(config, listener, shutdown).await
}

use std::error::Error;
use std::io;
use std::process::ExitCode;

use api::Config;
use clap::Parser;
use shared::process::{listen, shutdown_on_signal, start_telemetry};
use tokio::runtime::{Builder, Runtime};

/// A request makes hundreds of small values, and where several threads serve, drops them on
/// another one, which costs glibc's allocator a fifth of the api's own time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = start_telemetry(&config.log) {
        eprintln!("RUST_LOG: {error}");
        return ExitCode::FAILURE;
    }
    let served = runtime(config.threads())
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "api cannot run");
            ExitCode::FAILURE
        }
    }
}

/// One thread needs no scheduler that hands tasks from thread to thread.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}

async fn serve(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shutdown = shutdown_on_signal()?;
    let listener = listen(config.addr).await?;
    api::run(config, listener, shutdown).await
}

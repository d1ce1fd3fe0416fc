//! `outboxctl probe`: the health check of a container image that has no curl.

use std::time::Duration;

use clap::Args;

/// Ask one address, as in a container's health check: exit code 0 if it answers 200, else 1.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// What to ask: /ready or /live of api, relay or projector.
    #[arg(env = "PROBE_URL", default_value = "http://127.0.0.1:8000/ready")]
    url: String,

    /// Longest time to wait, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum NotHealthy {
    #[error("{0}")]
    Answered(String),
    #[error("{url} cannot be asked: {source}")]
    Silent { url: String, source: reqwest::Error },
}

/// # Errors
/// Where the answer is not 200, or none comes in time.
pub async fn run(args: ProbeArgs) -> Result<(), NotHealthy> {
    let silent = |source| NotHealthy::Silent { url: args.url.clone(), source };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(args.timeout)).build();
    let answer = http.map_err(silent)?.get(&args.url).send().await.map_err(silent)?;
    let status = answer.status();
    if status == reqwest::StatusCode::OK {
        return Ok(());
    }
    let body = answer.text().await.map_err(silent)?;
    Err(NotHealthy::Answered(format!("{}: {status} {body}", args.url)))
}

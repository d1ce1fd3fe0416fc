//! Where our own processes answer.

use clap::Args;

#[derive(Debug, Clone, Args)]
pub struct ApiSettings {
    /// Base address of the API.
    #[arg(
        long,
        env = "API_URL",
        default_value = "http://127.0.0.1:8000",
        help_heading = "Processes"
    )]
    pub api_url: String,
}

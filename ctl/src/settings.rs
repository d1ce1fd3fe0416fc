//! Where our own processes answer, and which group reads for MySQL.

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

#[derive(Debug, Clone, Args)]
pub struct GroupSettings {
    /// Consumer group of the projector.
    #[arg(long, env = "KAFKA_GROUP_ID", default_value = "mysql-analytics", help_heading = "Kafka")]
    pub kafka_group_id: String,
}

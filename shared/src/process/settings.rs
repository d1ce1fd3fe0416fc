//! Settings that several processes share, so that a variable has one name, one
//! default and one explanation. Each process adds its own on its `Config`.

use clap::{Args, ValueEnum};

use super::KafkaTransport;

#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// Log filter, as in `info,relay=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", help_heading = "Logging")]
    pub log: String,

    /// One JSON object a line for machines, or compact text for people.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json, help_heading = "Logging")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Args)]
pub struct MongoSettings {
    /// Connection string. It must name a replica set: transactions and change
    /// streams need one.
    #[arg(
        long,
        env = "MONGODB_URL",
        default_value = "mongodb://127.0.0.1:27017/?replicaSet=rs0",
        hide_env_values = true,
        help_heading = "MongoDB"
    )]
    pub mongodb_url: String,

    /// Database that holds the documents and the outbox.
    #[arg(
        long,
        env = "DATABASE_NAME",
        default_value = "social_commerce",
        help_heading = "MongoDB"
    )]
    pub database_name: String,
}

#[derive(Debug, Clone, Args)]
pub struct KafkaSettings {
    /// Comma-separated host:port list.
    #[arg(
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "127.0.0.1:9092",
        help_heading = "Kafka"
    )]
    pub kafka_bootstrap_servers: String,

    /// Name by which the brokers' logs and quotas know this process.
    #[arg(
        long,
        env = "KAFKA_CLIENT_ID",
        default_value = "social-commerce",
        help_heading = "Kafka"
    )]
    pub kafka_client_id: String,

    /// Put before every topic's name, so that several pipelines can share one
    /// cluster. Empty by default: the topics are called as in the contract.
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", default_value = "", help_heading = "Kafka")]
    pub kafka_topic_prefix: String,

    /// TLS and SASL: librdkafka's own properties, as in KAFKA_PRODUCER_SECURITY_PROTOCOL.
    #[arg(skip = KafkaTransport::from_environment())]
    pub kafka_transport: KafkaTransport,
}

impl KafkaSettings {
    /// The name of `topic` on this cluster.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.kafka_topic_prefix)
    }

    /// The contract's name for a topic of this cluster, if it is one of this pipeline's.
    pub fn logical_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(self.kafka_topic_prefix.as_str())
    }
}

#[derive(Debug, Clone, Args)]
pub struct GroupSettings {
    /// Consumer group of the projector: its instances share the partitions.
    #[arg(long, env = "KAFKA_GROUP_ID", default_value = "mysql-analytics", help_heading = "Kafka")]
    pub kafka_group_id: String,
}

#[derive(Clone, Args)]
pub struct MysqlSettings {
    #[arg(long, env = "MYSQL_HOST", default_value = "127.0.0.1", help_heading = "MySQL")]
    pub mysql_host: String,

    #[arg(long, env = "MYSQL_PORT", default_value_t = 3306, help_heading = "MySQL")]
    pub mysql_port: u16,

    #[arg(long, env = "MYSQL_USER", default_value = "analytics", help_heading = "MySQL")]
    pub mysql_user: String,

    /// No default on purpose.
    #[arg(long, env = "MYSQL_PASSWORD", hide_env_values = true, help_heading = "MySQL")]
    pub mysql_password: String,

    #[arg(long, env = "MYSQL_DATABASE", default_value = "analytics", help_heading = "MySQL")]
    pub mysql_database: String,

    /// Whether the connection is encrypted, and how much of the server's
    /// certificate is checked.
    #[arg(long, env = "MYSQL_TLS", value_enum, default_value_t = MysqlTls::Off, help_heading = "MySQL")]
    pub mysql_tls: MysqlTls,

    /// PEM file with the authorities that may have signed the server's
    /// certificate; without it the usual public ones.
    #[arg(long, env = "MYSQL_TLS_CA", help_heading = "MySQL")]
    pub mysql_tls_ca: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MysqlTls {
    /// Not encrypted.
    Off,
    /// Encrypted, whoever the server is.
    Encrypt,
    /// Encrypted, and the certificate must be signed by a known authority and name
    /// MYSQL_HOST. (The driver cannot check one without the other.)
    VerifyFull,
}

/// By hand, so that a logged configuration shows no password.
impl std::fmt::Debug for MysqlSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlSettings")
            .field("mysql_host", &self.mysql_host)
            .field("mysql_port", &self.mysql_port)
            .field("mysql_user", &self.mysql_user)
            .field("mysql_database", &self.mysql_database)
            .field("mysql_tls", &self.mysql_tls)
            .finish_non_exhaustive()
    }
}

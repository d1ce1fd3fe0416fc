//! Connections to the servers, impatient: an operator wants to hear within
//! seconds that one is away.

use std::time::Duration;

use mongodb::error::{ErrorKind, RETRYABLE_WRITE_ERROR};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use mysql_async::{OptsBuilder, Pool};
use projector::kafka::client;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use shared::process::{KafkaSettings, MongoSettings, MysqlSettings};

pub const PATIENCE: Duration = Duration::from_secs(3);

/// # Errors
/// Where the connection string does not parse. Whether the server answers shows
/// with the first operation, after [`PATIENCE`] at most.
pub async fn mongodb(settings: &MongoSettings) -> mongodb::error::Result<Database> {
    let mut options = ClientOptions::parse(&settings.mongodb_url).await?;
    options.server_selection_timeout = Some(PATIENCE);
    options.connect_timeout = Some(PATIENCE);
    options.app_name = Some("outboxctl".to_owned());
    Ok(Client::with_options(options)?.database(&settings.database_name))
}

/// A driver's error in a sentence: its own text for an unreachable server is the
/// whole topology.
pub fn explain(error: &mongodb::error::Error) -> String {
    match &*error.kind {
        ErrorKind::ServerSelection { .. } => {
            format!("no primary answers within {} s", PATIENCE.as_secs())
        }
        ErrorKind::Authentication { .. } => "authentication failed".to_owned(),
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        ErrorKind::Command(command) => {
            format!("{} ({}): {}", command.code_name, command.code, command.message)
        }
        _ => error.to_string(),
    }
}

/// Whether the same request may succeed later: the server is away, starts, or hands over.
pub fn is_passing(error: &mongodb::error::Error) -> bool {
    /// Shutting down, no primary, stepping down, timed out, cursor lost with its server.
    const CODES: [i32; 16] =
        [6, 7, 43, 50, 64, 89, 91, 133, 175, 189, 262, 10107, 11600, 11602, 13435, 13436];
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => true,
        ErrorKind::Command(command) => CODES.contains(&command.code),
        _ => error.contains_label(RETRYABLE_WRITE_ERROR),
    }
}

/// As [`is_passing`], for MySQL.
pub fn is_mysql_passing(error: &mysql_async::Error) -> bool {
    /// Too many connections, shutting down, lock timeout, deadlock.
    const CODES: [u16; 6] = [1040, 1053, 1077, 1079, 1205, 1213];
    match error {
        mysql_async::Error::Server(error) => CODES.contains(&error.code),
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(_) => true,
        _ => false,
    }
}

/// As [`explain`]: librdkafka's text for a broker that is away names its own internals.
pub fn explain_kafka(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut) => {
            "no broker answers".to_owned()
        }
        Some(Code::Resolve) => "no broker's name resolves".to_owned(),
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "authentication failed".to_owned()
        }
        _ => error.to_string(),
    }
}

/// As [`explain`]: the driver's text says twice that it is about input and output.
pub fn explain_mysql(error: &mysql_async::Error) -> String {
    let text = error.to_string();
    text.trim_start_matches("Input/output error: ").to_owned()
}

/// What every Kafka client of ours begins with. TLS and SASL are set as for the relay:
/// KAFKA_PRODUCER_SECURITY_PROTOCOL, KAFKA_PRODUCER_SASL_MECHANISM, ...
pub fn kafka(settings: &KafkaSettings) -> ClientConfig {
    let name = format!("{}-outboxctl", settings.kafka_client_id);
    client(&KafkaSettings { kafka_client_id: name, ..settings.clone() })
}

/// Connects lazily: whether the server answers shows with the first connection.
pub fn mysql(settings: &MysqlSettings) -> Pool {
    let options = OptsBuilder::default()
        .ip_or_hostname(&settings.mysql_host)
        .tcp_port(settings.mysql_port)
        .user(Some(&settings.mysql_user))
        .pass(Some(&settings.mysql_password))
        .db_name(Some(&settings.mysql_database))
        .ssl_opts(projector::database::tls(settings))
        // It would leave the address that was configured, and TLS with it.
        .prefer_socket(false);
    Pool::new(options)
}

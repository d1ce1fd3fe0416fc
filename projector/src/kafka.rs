//! What every Kafka client of the projector, and of the operator's tools, begins with.

use rdkafka::ClientConfig;
use shared::process::KafkaSettings;

/// Where the brokers are, and how they are reached: by TLS and SASL where the
/// `KAFKA_PRODUCER_` variables say so, the same that the relay reads.
pub fn client(kafka: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.kafka_bootstrap_servers)
        .set("client.id", &kafka.kafka_client_id)
        .set("reconnect.backoff.max.ms", "1000");
    for (property, value) in kafka.kafka_transport.iter() {
        config.set(property, value);
    }
    config
}

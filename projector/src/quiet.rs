//! librdkafka says something at every attempt. What matters of it comes back as a
//! result or changes the state of the dependency, each said once; the rest is for
//! those who ask with `RUST_LOG=librdkafka=debug`.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// For clients whose calls return what went wrong.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl ConsumerContext for Quiet {}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
}

//! How a Kafka cluster is reached: librdkafka's own properties, the same for every client.

use std::collections::BTreeMap;
use std::fmt;

/// `KAFKA_PRODUCER_SECURITY_PROTOCOL=SASL_SSL` sets `security.protocol`.
const PREFIX: &str = "KAFKA_PRODUCER_";

const TRANSPORT: [&str; 9] = [
    "security.",
    "sasl.",
    "ssl.",
    "enable.ssl",
    "enable.sasl",
    "https.",
    "socket.",
    "broker.",
    "client.",
];

/// Encryption, authentication and sockets. They may hold passwords, so no value is ever
/// shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaTransport(BTreeMap<String, String>);

impl KafkaTransport {
    pub fn from_environment() -> Self {
        Self::from_variables(std::env::vars())
    }

    /// Of all variables, those that concern it.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let property = |(variable, value): (String, String)| Some((property_of(&variable)?, value));
        let all = variables.into_iter().filter_map(property);
        Self(all.filter(|(property, _)| is_transport(property)).collect())
    }

    /// Properties of librdkafka, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(property, value)| (property.as_str(), value.as_str()))
    }
}

/// The property of librdkafka that the variable sets, if it sets one.
pub fn property_of(variable: &str) -> Option<String> {
    Some(variable.strip_prefix(PREFIX)?.to_lowercase().replace('_', "."))
}

fn is_transport(property: &str) -> bool {
    TRANSPORT.iter().any(|prefix| property.starts_with(prefix))
}

impl fmt::Debug for KafkaTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_concerns_it_and_never_shows_a_value() {
        let variables = [
            ("KAFKA_PRODUCER_SASL_PASSWORD", "hunter2"),
            ("KAFKA_PRODUCER_BATCH_SIZE", "65536"),
            ("KAFKA_GROUP_ID", "x"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let transport = KafkaTransport::from_variables(variables);
        assert_eq!(transport.iter().collect::<Vec<_>>(), [("sasl.password", "hunter2")]);
        assert!(!format!("{transport:?}").contains("hunter2"), "{transport:?}");
    }
}

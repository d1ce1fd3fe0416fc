//! librdkafka's own properties, passed through from the environment to the producer:
//! transport security, which every client has ([`shared::process::KafkaTransport`]), and
//! tuning. Those on which a promise rests are refused by name.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::config::ClientConfig;
use shared::process::property_of;

/// What no setting may change, and why.
const REFUSED: [(&str, &str); 20] = [
    ("enable.idempotence", "without it a retry doubles events"),
    ("transactional.id", "it is what fences another relay"),
    ("transaction.timeout.ms", "set RELAY_TRANSACTION_TIMEOUT_MS"),
    ("acks", "an acknowledged event must survive a broker"),
    ("request.required.acks", "an acknowledged event must survive a broker"),
    ("max.in.flight", "the idempotent producer chooses it, to keep the order"),
    (
        "max.in.flight.requests.per.connection",
        "the idempotent producer chooses it, to keep the order",
    ),
    ("retries", "a failed attempt is repeated until the transaction ends"),
    ("message.send.max.retries", "a failed attempt is repeated until the transaction ends"),
    ("message.timeout.ms", "it follows from RELAY_TRANSACTION_TIMEOUT_MS"),
    ("delivery.timeout.ms", "it follows from RELAY_TRANSACTION_TIMEOUT_MS"),
    ("partitioner", "another one would move entities to other partitions, and break their order"),
    (
        "delivery.report.only.error",
        "the relay relies on it to learn what failed, and where the rest lies",
    ),
    ("message.max.bytes", "set RELAY_EVENT_MAX_BYTES"),
    ("compression.type", "set RELAY_COMPRESSION"),
    ("compression.codec", "set RELAY_COMPRESSION"),
    ("queuing.strategy", "another than first in, first out would break the order"),
    ("bootstrap.servers", "set KAFKA_BOOTSTRAP_SERVERS"),
    ("metadata.broker.list", "set KAFKA_BOOTSTRAP_SERVERS"),
    ("test.mock.num.brokers", "events would go to a cluster that does not exist"),
];

/// Properties of the relay's producers. They may hold passwords, so no value is
/// ever shown.
#[derive(Clone, Default, PartialEq)]
pub struct Properties(BTreeMap<String, String>);

/// A property that would break a promise, or that librdkafka does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedProperty {
    #[error("{variable}: {property} is not yours to set: {why}")]
    Promise { variable: String, property: String, why: &'static str },
    #[error("{property}: {why}")]
    Invalid { property: String, why: String },
}

impl Properties {
    /// Of all variables, those that begin with `KAFKA_PRODUCER_`.
    ///
    /// # Errors
    /// [`RefusedProperty::Promise`].
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, RefusedProperty> {
        let mut properties = BTreeMap::new();
        for (variable, value) in variables {
            let Some(property) = property_of(&variable) else {
                continue;
            };
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == property) {
                return Err(RefusedProperty::Promise { variable, property, why });
            }
            properties.insert(property, value);
        }
        Ok(Self(properties))
    }

    pub fn apply(&self, config: &mut ClientConfig) {
        for (property, value) in &self.0 {
            config.set(property, value);
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variable: &str, value: &str) -> Result<Properties, RefusedProperty> {
        Properties::from_variables([(variable.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_keeps_a_promise_is_refused_by_name() {
        for (property, _) in REFUSED {
            let variable = format!("KAFKA_PRODUCER_{}", property.to_uppercase().replace('.', "_"));
            let error = read(&variable, "x").unwrap_err().to_string();
            assert!(error.contains(&variable) && error.contains(property), "{error}");
        }
    }

    #[test]
    fn the_rest_passes_and_its_values_are_never_shown() {
        let properties = read("KAFKA_PRODUCER_SASL_PASSWORD", "hunter2").unwrap();
        assert!(!format!("{properties:?}").contains("hunter2"), "{properties:?}");
        let mut config = ClientConfig::new();
        properties.apply(&mut config);
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(read("KAFKA_GROUP_ID", "x"), Ok(Properties::default()));
    }
}

//! How the brokers are reached, from the settings that every other Kafka client takes.

use std::sync::Arc;

use shared::process::KafkaTransport;
use tokio_rustls::rustls::ClientConfig;

use super::sasl::Account;
use super::tls;

/// Of librdkafka's settings, those that say nothing about who may connect and how.
const IRRELEVANT: [&str; 5] = ["socket.", "client.", "broker.", "enable.sasl.", "https."];

#[derive(Clone)]
pub struct Transport {
    pub tls: Option<Arc<ClientConfig>>,
    pub sasl: Option<Account>,
}

/// A way to the brokers that librdkafka knows and this command does not.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}. This command reaches brokers by PLAINTEXT, SSL, SASL_PLAINTEXT, and SASL_SSL, with \
     PLAIN, SCRAM-SHA-256, or SCRAM-SHA-512 and certificates in PEM. On another way use Kafka's \
     own bin/kafka-transactions.sh (find-hanging, abort). It can only abort: if the coordinator \
     had decided to commit, the events of that transaction are lost for every reader, and \
     outboxctl verify names them"
)]
pub struct NotSupported(pub String);

impl Transport {
    /// # Errors
    /// [`NotSupported`] for a setting that would have to be heeded and is not known here, and
    /// for a file that cannot be read. The message names the setting, never a secret.
    pub fn of(settings: &KafkaTransport) -> Result<Self, NotSupported> {
        let mut all = Settings::of(settings);
        let protocol = all.take("security.protocol").unwrap_or_else(|| "plaintext".to_owned());
        let (encrypted, authenticated) = match protocol.to_ascii_lowercase().as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                return Err(NotSupported(format!(
                    "security.protocol={protocol} is not known here"
                )));
            }
        };
        let sasl = authenticated.then(|| Account::of(&mut all)).transpose()?;
        let tls = encrypted.then(|| tls::config(&mut all)).transpose()?;
        all.refuse_rest(encrypted, authenticated)?;
        Ok(Self { tls, sasl })
    }
}

/// Settings that nothing has heeded yet.
pub struct Settings(std::collections::BTreeMap<String, String>);

impl Settings {
    fn of(settings: &KafkaTransport) -> Self {
        Self(settings.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A connection that ignores what it was told may be less safe than its owner thinks.
    fn refuse_rest(self, encrypted: bool, authenticated: bool) -> Result<(), NotSupported> {
        let counts = |name: &str| {
            let of_tls = name.starts_with("ssl.") || name.starts_with("enable.ssl");
            let of_sasl = name.starts_with("sasl.");
            let irrelevant = IRRELEVANT.iter().any(|prefix| name.starts_with(prefix));
            !(irrelevant || of_tls && !encrypted || of_sasl && !authenticated)
        };
        match self.0.keys().find(|name| counts(name)) {
            None => Ok(()),
            Some(name) => Err(NotSupported(format!("the setting {name} is not known here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(settings: &[(&str, &str)]) -> Result<Transport, String> {
        let variable =
            |name: &str| format!("KAFKA_PRODUCER_{}", name.to_uppercase().replace('.', "_"));
        let variables = settings.iter().map(|(name, value)| (variable(name), (*value).to_owned()));
        Transport::of(&KafkaTransport::from_variables(variables)).map_err(|it| it.to_string())
    }

    #[test]
    fn what_it_cannot_heed_is_refused_by_name_and_without_a_secret() {
        for (settings, named) in [
            (&[("security.protocol", "carrier_pigeon")][..], "carrier_pigeon"),
            (&[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "GSSAPI")], "GSSAPI"),
            (&[("security.protocol", "SSL"), ("ssl.key.password", "hunter2")], "ssl.key.password"),
            (
                &[("security.protocol", "SSL"), ("enable.ssl.certificate.verification", "false")],
                "enable.ssl.certificate.verification",
            ),
            (&[("security.protocol", "SSL"), ("ssl.ca.location", "/nowhere.pem")], "/nowhere.pem"),
        ] {
            let refused = transport(settings).err().unwrap_or_default();
            assert!(refused.contains(named), "{settings:?}: {refused}");
            assert!(refused.contains("kafka-transactions.sh"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn what_does_not_concern_the_connection_is_no_obstacle() {
        let plain = transport(&[("socket.timeout.ms", "5000"), ("ssl.key.password", "x")]);
        assert!(plain.is_ok_and(|it| it.tls.is_none() && it.sasl.is_none()));
        let both = transport(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.username", "relay"),
            ("sasl.password", "hunter2"),
            ("client.rack", "a"),
        ]);
        assert!(both.is_ok_and(|it| it.tls.is_some() && it.sasl.is_some()));
    }
}

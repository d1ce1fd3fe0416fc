//! Who we are: SASL PLAIN and SCRAM, as Kafka wraps them in requests.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use super::connection::{Connection, WireError};
use super::scram::{Hash, Scram};
use super::transport::{NotSupported, Settings};

#[derive(Clone)]
pub struct Account {
    mechanism: Mechanism,
    username: String,
    password: String,
}

#[derive(Debug, Clone, Copy)]
enum Mechanism {
    Plain,
    Scram(Hash),
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

impl Account {
    pub fn of(settings: &mut Settings) -> Result<Self, NotSupported> {
        // librdkafka knows both names for it.
        let (new, old) = (settings.take("sasl.mechanism"), settings.take("sasl.mechanisms"));
        let mechanism = match new.or(old).unwrap_or_else(|| "GSSAPI".to_owned()).as_str() {
            "PLAIN" => Mechanism::Plain,
            "SCRAM-SHA-256" => Mechanism::Scram(Hash::Sha256),
            "SCRAM-SHA-512" => Mechanism::Scram(Hash::Sha512),
            other => {
                return Err(NotSupported(format!("sasl.mechanism={other} is not known here")));
            }
        };
        let mut wanted = |name: &str| {
            settings.take(name).ok_or_else(|| NotSupported(format!("{name} is missing")))
        };
        Ok(Self {
            mechanism,
            username: wanted("sasl.username")?,
            password: wanted("sasl.password")?,
        })
    }
}

/// # Errors
/// [`WireError::Sasl`] if the broker does not take the mechanism or the password, or does
/// not prove that it knows the password too.
pub async fn authenticate(connection: &mut Connection, account: &Account) -> Result<(), WireError> {
    let name = StrBytes::from_static_str(account.mechanism.name());
    let handshake = SaslHandshakeRequest::default().with_mechanism(name);
    let answer = connection.exchange(&handshake, 1).await?;
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        let offered = answer.mechanisms.iter().map(StrBytes::as_str).collect::<Vec<_>>().join(", ");
        return Err(WireError::Sasl(format!("{error}; the broker offers {offered}")));
    }
    match account.mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", account.username, account.password);
            say(connection, message.into_bytes()).await?;
        }
        Mechanism::Scram(hash) => {
            let scram = Scram::begin(hash, &account.username);
            let first = say(connection, scram.first()).await?;
            let (proof, expected) =
                scram.prove(&first, &account.password).map_err(WireError::Sasl)?;
            let last = say(connection, proof).await?;
            expected.check(&last).map_err(WireError::Sasl)?;
        }
    }
    Ok(())
}

async fn say(connection: &mut Connection, message: Vec<u8>) -> Result<Bytes, WireError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    let answer = connection.exchange(&request, 1).await?;
    match ResponseError::try_from_code(answer.error_code) {
        None => Ok(answer.auth_bytes),
        Some(error) => {
            let said = answer.error_message.map(|it| format!(": {it}")).unwrap_or_default();
            Err(WireError::Sasl(format!("{error}{said}")))
        }
    }
}

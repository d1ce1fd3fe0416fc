//! One connection to each broker that is asked, made with its first request.

use std::collections::BTreeMap;
use std::fmt;

use kafka_protocol::protocol::Request;

use super::connection::{Connection, WireError};
use super::transport::Transport;

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

pub struct Brokers {
    transport: Transport,
    client_id: String,
    addresses: BTreeMap<i32, Address>,
    open: BTreeMap<i32, Connection>,
}

/// A broker that did not answer, or with an error, by name.
#[derive(Debug, thiserror::Error)]
#[error("broker {broker}{}: {error}", .address.as_ref().map(|it| format!(" ({it})")).unwrap_or_default())]
pub struct BrokerError {
    pub broker: i32,
    pub address: Option<Address>,
    pub error: WireError,
}

impl Brokers {
    pub fn new(transport: Transport, client_id: String) -> Self {
        Self { transport, client_id, addresses: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Where the brokers are now. Connections to those that have moved are closed.
    pub fn know(&mut self, addresses: BTreeMap<i32, Address>) {
        self.open.retain(|broker, _| addresses.get(broker) == self.addresses.get(broker));
        self.addresses = addresses;
    }

    pub fn ids(&self) -> Vec<i32> {
        self.addresses.keys().copied().collect()
    }

    /// Sends `request` to the broker and returns the answer.
    ///
    /// # Errors
    /// If the broker is unknown, away, or silent; or if it does not know that version. After
    /// an error the next call makes a new connection.
    pub async fn call<R: Request>(
        &mut self,
        broker: i32,
        request: &R,
        version: i16,
    ) -> Result<R::Response, BrokerError> {
        let address = self.addresses.get(&broker).cloned();
        let called = self.attempt(broker, address.as_ref(), request, version).await;
        if called.is_err() {
            self.open.remove(&broker);
        }
        called.map_err(|error| BrokerError { broker, address, error })
    }

    async fn attempt<R: Request>(
        &mut self,
        broker: i32,
        address: Option<&Address>,
        request: &R,
        version: i16,
    ) -> Result<R::Response, WireError> {
        let mut connection = match self.open.remove(&broker) {
            Some(connection) => connection,
            None => {
                let address = address.ok_or(WireError::Unknown)?;
                Connection::open(address, &self.transport, &self.client_id).await?
            }
        };
        let answer = connection.call(request, version).await?;
        self.open.insert(broker, connection);
        Ok(answer)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

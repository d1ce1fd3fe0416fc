//! Requests to brokers that librdkafka has no call for: which transactions are open, and
//! what becomes of one. `kafka-protocol` encodes them; the connections are here.

mod brokers;
mod connection;
mod sasl;
mod scram;
mod tls;
mod transport;

pub use self::brokers::{Address, BrokerError, Brokers};
pub use self::connection::{WireError, refusal};
pub use self::transport::{NotSupported, Transport};

//! `HTTP ──► one MongoDB transaction {document, outbox event}`
//!
//! The REST API of the contract. **Guarantee:** a 2xx answer means that the
//! document and its event are durable together (write concern majority);
//! Kafka, the relay, the projector and MySQL may all be down meanwhile.
//!
//! It never links Kafka or MySQL, never changes a document without its event
//! (the only door to the database is [`store::Store::commit`], and a
//! [`store::Write`] cannot hold one without the other), and never lets a secret
//! out of MongoDB.

mod auth;
mod config;
mod http;
mod metrics;
mod openapi;
mod order_numbers;
mod password;
mod requests;
mod routes;
mod server;
mod status;
pub mod store;

pub use auth::AuthMode;
pub use config::Config;
pub use server::run;

/// The OpenAPI 3.1 document that `/openapi.json` answers under these settings.
///
/// # Errors
/// Where the settings ask for tokens without a secret to sign them with.
pub fn openapi(config: &Config) -> Result<serde_json::Value, auth::NoSecret> {
    Ok(routes::rest(&auth::Authentication::new(&config.auth)?).finish().1)
}

//! ```text
//! Kafka ──read_committed──► projector ──one transaction──► MySQL
//! ```

pub mod database;
pub mod schema;
pub mod tables;

//! The vocabulary that `api`, `relay` and `projector` meet in.
//!
//! ```text
//! api ──► OutboxRecord (MongoDB) ──► relay ──► Envelope (Kafka) ──► projector
//! ```
//!
//! The contracts between the processes are exactly two: the [`outbox`] record
//! and the [`event::Envelope`]. Everything else here is either the documents
//! they carry ([`document`]) or what every process needs to run ([`process`]).
//!
//! This crate links no driver: of MongoDB it knows only the BSON types.

pub mod document;
pub mod event;
mod id;
pub mod outbox;
pub mod process;
mod timestamp;

pub use id::Id;
pub use timestamp::Timestamp;

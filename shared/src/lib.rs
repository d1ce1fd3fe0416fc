//! The vocabulary that `api`, `relay` and `projector` meet in.
//!
//! ```text
//! api ──► OutboxRecord (MongoDB) ──► relay ──► Envelope (Kafka) ──► projector
//! ```
//!
//! The contracts between the processes are exactly two: the [`outbox`] record
//! and the [`event::Envelope`]. (The [`watermark`] carries no event: with it the relay
//! says how far it has come, to whoever shows that.) Everything else here is either the documents
//! they carry ([`document`]) or what every process needs to run ([`process`]).
//!
//! This crate links no driver: of MongoDB it knows only the BSON types.

pub mod document;
pub mod event;
mod id;
mod lost;
pub mod outbox;
pub mod process;
mod shard;
mod timestamp;
mod traceparent;
pub mod watermark;

pub use id::Id;
pub use lost::LostRanges;
pub use shard::{InvalidShard, Shard};
pub use timestamp::Timestamp;
pub use traceparent::is_traceparent;

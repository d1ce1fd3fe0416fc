//! The harness of the whole-pipeline tests: real servers, the real binaries, and
//! the means to kill either at any moment.
//!
//! A [`Pipeline`] is api, relay and projector with a MongoDB database, topics and a
//! MySQL database of their own, so that any number of them share one set of
//! [`Servers`]. What the tests claim at the end is read from the servers
//! themselves: rows by SQL ([`Rows`]), events by a read_committed consumer
//! ([`EventLog`]), and both against MongoDB by the operator's own `outboxctl verify`.
//!
//! [`chaos`] is the whole of it at once: mixed load, a seeded schedule of faults, and a
//! checker that trusts none of the pipeline's own code.
//!
//! Everything here panics on failure: it exists only inside tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_alone;
pub mod chaos;
mod client;
mod event_log;
mod metrics;
mod pipeline;
mod process;
mod projector_alone;
mod proxy;
mod relay_alone;
pub mod restarts;
mod rows;
mod servers;
mod used;
mod wait;

pub use api_alone::ApiAlone;
pub use client::{Answer, Client, sample};
pub use event_log::{Event, EventLog, each_record};
pub use metrics::Metrics;
pub use pipeline::{Pipeline, free};
pub use process::{Process, binary};
pub use projector_alone::{ProjectorAlone, assigned_at};
pub use relay_alone::RelayAlone;
pub use rows::{Row, Rows};
pub use servers::{Listener, Servers};
pub use used::Used;
pub use wait::eventually;

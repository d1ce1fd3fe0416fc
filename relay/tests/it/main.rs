//! The relay on real servers. Each test has a MongoDB database and Kafka topics of its
//! own, so that all run side by side.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "chaos")]
mod chaos;
mod crashes;
mod cursor;
mod cut;
mod faults;
mod fixture;
mod held_back;
mod pending;
mod process;
mod proxy;
mod publishing;
mod purge;
mod reader;
mod recovery;
mod refused;
mod rewound;
mod servers;
mod shards;
mod standby;
mod transport;
mod unpublishable;
mod watermark;

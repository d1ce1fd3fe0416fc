//! The projector against real Kafka and real MySQL, each test in topics and a
//! database of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what goes wrong while a test prepares is the test's failure"
)]

mod bed;
mod documents;
mod drift;
mod events;
mod freshness;
mod full_disk;
mod histories;
mod locks;
mod membership;
mod metadata_proxy;
mod migrations;
mod model;
mod order_of_arrival;
mod outage;
mod own_mysql;
mod poison;
mod positions;
mod process;
mod scale;
mod schema;
mod sink;
mod stranded;
mod tls;

//! The API as a client meets it: real HTTP, a real MongoDB, and nothing believed but
//! the contract.
//!
//! Each test has a database of its own. Run through `make test`, or
//! `deploy/local/with-test-servers cargo test -p api --test rest`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in test functions; here the helpers are tests too"
)]

mod call;
mod database;
mod documented;
mod documents;
mod edges;
mod events;
mod fixtures;
mod harness;
mod process;
mod proxy;

mod accounts;
mod at_once;
mod bounds;
mod browsers;
mod connections;
mod cursors;
mod envelope;
mod failover;
mod groups;
mod guide;
mod hostile;
mod idempotency;
mod impatient;
mod killed;
mod legacy;
mod life;
mod limits;
mod limits_goods;
mod lists;
mod lives;
mod login;
mod long;
mod memory;
mod openapi;
mod order_steps;
mod orders;
mod outage;
mod races;
mod reads;
mod refusals;
mod smallest;
mod states;
mod status;
mod status_counts;
mod suppliers;
mod surface;
mod timeline;
mod tokens;
mod versions;

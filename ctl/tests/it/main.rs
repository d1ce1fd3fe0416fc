//! `outboxctl` against real servers. Run through `make test` or
//! `deploy/local/with-test-servers cargo test -p ctl`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod adopt;
mod dlq;
mod documents;
mod kafka;
mod local;
mod projector;
mod rebuild;
mod relay;
mod repair;
mod replay;
mod stack;
mod status;
mod trace;
mod verify;

//! What an operator is told: the metrics exist, the alerts are explained, the dashboard
//! shows something, the documents name nothing that is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dashboard;
mod explained;
mod exported;
mod manifests;
mod project;
mod prometheus;
mod status;

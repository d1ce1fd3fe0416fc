//! A short run of `make chaos-restarts`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use e2e::{Servers, restarts};

#[tokio::test(flavor = "multi_thread")]
async fn data_flows_again_by_itself_soon_after_each_restart_of_kafka() {
    let servers = Servers::for_faults().await;
    let outcome = restarts::run(&servers, 10, |line| println!("{line}")).await;
    println!("{outcome}");
    assert!(outcome.is_clean(), "{outcome}");
    assert!(outcome.writes > 300, "hardly anything was written: {outcome}");
}

//! A short run of `make chaos`: the same program with a seed of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use e2e::Servers;
use e2e::chaos::{Deck, Relays, Settings, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_short_seeded_run_breaks_no_promise() {
    let servers = Servers::for_faults().await;
    let settings =
        Settings { seed: 20, seconds: 20, clients: 4, relays: Relays::Standby, deck: Deck::Cheap };
    let report = run(&servers, settings, |line| println!("{line}")).await;
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(report.acknowledged.len() > 100, "hardly anything was written: {report}");
    assert!(report.suffered.len() > 1, "hardly anything was broken: {report}");
}

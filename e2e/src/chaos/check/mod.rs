//! The checker. It trusts nothing inside the pipeline: it reads the clients' own
//! ledger, MongoDB, the topics as a read_committed reader, and MySQL, with none of the
//! pipeline's code, and compares them.

mod columns;
mod documents;
mod events;
mod findings;
mod rows;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use shared::event::Domain;

pub use self::findings::{Breach, Findings};
use super::ledger::Ledger;

/// Entities are named by their domain and id.
type Key = (Domain, String);
type Environment = BTreeMap<String, String>;

/// Compares all four. Call it when nothing is written any more and all has arrived.
pub async fn check(ledger: &Path, environment: &Environment) -> Findings {
    let acknowledged = Ledger::read(ledger);
    let stored = documents::read(environment).await;
    let mut findings = writes::compare(&acknowledged, &stored);
    findings.add(events::compare(&acknowledged, &stored, environment).await);
    match rows::compare(&stored, environment).await {
        Ok(found) => findings.add(found),
        Err(error) => findings.found(Breach::RowMissing, error),
    }
    findings
}

/// Waits until the rows equal the documents, or the time is over; how long it took. The
/// check itself says what is left.
pub async fn wait_until_drained(environment: &Environment, within: Duration) -> Duration {
    let began = Instant::now();
    while began.elapsed() < within {
        let stored = documents::read(environment).await;
        if rows::compare(&stored, environment).await.is_ok_and(|found| found.is_clean()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    began.elapsed()
}

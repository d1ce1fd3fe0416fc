//! The checker. It trusts nothing inside the pipeline: it reads the clients' own
//! ledger, MongoDB, the topics as a read_committed reader, and MySQL, with none of the
//! pipeline's code, and compares them.

mod columns;
mod documents;
mod events;
mod findings;
mod rows;
mod topics;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use shared::event::Domain;

pub use self::findings::{Breach, Findings};
pub use self::topics::{Seen, delete_unread};
pub use self::writes::key;
use super::ledger::{Acknowledged, Ledger};
use super::losses::Losses;

/// Entities are named by their domain and id.
pub type Key = (Domain, String);
type Environment = BTreeMap<String, String>;

/// Compares all four. Call it when nothing is written any more and all has arrived.
pub async fn check(ledger: &Path, environment: &Environment, losses: &Losses) -> Findings {
    let acknowledged = Ledger::read(ledger);
    let stored = documents::read(environment).await;
    let mut findings = writes::compare(&losses.kept(&acknowledged), &stored);
    findings.add(events::compare(&acknowledged, losses, &stored, environment).await);
    match rows::compare(&stored, losses, environment).await {
        Ok(found) => findings.add(found),
        Err(error) => findings.found(Breach::RowMissing, error),
    }
    findings
}

/// MongoDB alone, against these writes.
pub async fn check_writes(acknowledged: &[&Acknowledged], environment: &Environment) -> Findings {
    writes::compare(acknowledged, &documents::read(environment).await)
}

/// The version of each document.
pub async fn versions(environment: &Environment) -> BTreeMap<Key, i64> {
    let documents = documents::read(environment).await.documents;
    documents.into_iter().map(|(key, stored)| (key, stored.version)).collect()
}

/// Waits until the rows equal the documents, or the time is over; how long it took. The
/// check itself says what is left.
pub async fn wait_until_drained(
    environment: &Environment,
    losses: &Losses,
    within: Duration,
) -> Duration {
    let began = Instant::now();
    while began.elapsed() < within {
        let stored = documents::read(environment).await;
        if rows::compare(&stored, losses, environment).await.is_ok_and(|it| it.is_clean()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    began.elapsed()
}

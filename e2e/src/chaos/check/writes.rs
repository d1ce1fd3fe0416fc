//! The clients' ledger against MongoDB.

use std::collections::BTreeMap;

use super::columns::text;
use super::documents::{Source, Stored};
use super::{Breach, Findings, Key};
use crate::chaos::ledger::Acknowledged;
use shared::event::Domain;

pub fn key(write: &Acknowledged) -> Key {
    (Domain::from_topic(&write.domain).expect("one of the five"), write.id.clone())
}

/// Each entity's last acknowledged write is what MongoDB holds: nothing less, and, as
/// the clients know the end of all that they began, nothing more.
pub fn compare(acknowledged: &[&Acknowledged], source: &Source) -> Findings {
    let mut findings = Findings::default();
    findings.looked_at(&[Breach::WriteMissing], acknowledged.len());
    findings.looked_at(&[Breach::WriteUnasked], source.documents.len());
    let mut last: BTreeMap<Key, &Acknowledged> = BTreeMap::new();
    for &write in acknowledged {
        let known = last.entry(key(write)).or_insert(write);
        if write.version >= known.version {
            *known = write;
        }
    }
    for (key, write) in &last {
        let name = format!("{} {} v{}", write.domain, write.id, write.version);
        // Only suppliers leave nothing behind; the other deletions are soft.
        let is_gone = write.removed && key.0 == Domain::Supplier;
        match source.documents.get(key) {
            None if is_gone => {}
            None => findings.found(Breach::WriteMissing, format!("{name}: no document")),
            Some(_) if is_gone => {
                findings.found(Breach::WriteMissing, format!("{name}: not removed"));
            }
            Some(stored) if stored.version < write.version => {
                let found = format!("{name}: the document is of version {}", stored.version);
                findings.found(Breach::WriteMissing, found);
            }
            Some(stored) if stored.version > write.version => {
                let found = format!("{name}: the document is of version {}", stored.version);
                findings.found(Breach::WriteUnasked, found);
            }
            Some(stored) => {
                if let Some(lost) = lost(write, stored) {
                    findings.found(Breach::WriteMissing, format!("{name}: {lost}"));
                }
            }
        }
    }
    for (domain, id) in source.documents.keys().filter(|key| !last.contains_key(*key)) {
        findings.found(Breach::WriteUnasked, format!("{} {id}", domain.topic()));
    }
    findings
}

/// What the write has set and the document does not say.
fn lost(write: &Acknowledged, stored: &Stored) -> Option<String> {
    write.sets.iter().find_map(|(path, set)| {
        let found = text(&stored.document, path);
        (found.as_ref() != Some(set)).then(|| format!("{path} is {found:?}, was set to {set:?}"))
    })
}

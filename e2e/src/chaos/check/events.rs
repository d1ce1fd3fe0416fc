//! Ledger, documents and outbox against what a read_committed reader sees.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::documents::Source;
use super::topics::{self, Seen};
use super::writes::key;
use super::{Breach, Environment, Findings, Key, Losses};
use crate::chaos::ledger::Acknowledged;

/// Each version of each entity, and its event's id as far as it is known.
type Expected = BTreeMap<Key, BTreeMap<i64, Option<String>>>;

pub async fn compare(
    acknowledged: &[Acknowledged],
    losses: &Losses,
    source: &Source,
    environment: &Environment,
) -> Findings {
    let (remaining, dead_letters) = topics::read(environment).await;
    let seen = losses.seen_in_all(remaining);
    let expected = expected(acknowledged, losses, source);
    let lost = Lost::of(&losses.lost(acknowledged));
    let mut findings = Findings::default();
    let count = expected.values().map(BTreeMap::len).sum();
    findings.looked_at(&[Breach::EventMissing], count);
    findings.looked_at(
        &[Breach::EventUnasked, Breach::EventDoubled, Breach::EventOutOfOrder, Breach::DeadLetter],
        seen.len(),
    );
    for letter in dead_letters {
        findings.found(Breach::DeadLetter, letter);
    }
    if source.dead > 0 {
        findings.found(Breach::DeadLetter, format!("{} in outbox_dead", source.dead));
    }
    once_in_order(&seen, &mut findings);
    completely(&seen, &expected, &lost, &mut findings);
    findings
}

/// All versions up to the newest that anybody knows of; the outbox and the answers name
/// their events.
fn expected(acknowledged: &[Acknowledged], losses: &Losses, source: &Source) -> Expected {
    let (kept, skipped) = (losses.kept(acknowledged), losses.skipped(acknowledged));
    let mut expected = Expected::new();
    let newest = source.documents.iter().map(|(key, stored)| (key.clone(), stored.version));
    let newest = newest.chain(kept.iter().map(|write| (key(write), write.version)));
    for (key, version) in newest {
        let versions = expected.entry(key.clone()).or_default();
        for version in 1..=version {
            if !skipped.contains(&(key.clone(), version)) {
                versions.entry(version).or_default();
            }
        }
    }
    let outbox = source.outbox.iter().map(|it| (it.key.clone(), it.version, it.event_id.clone()));
    let answers =
        kept.into_iter().filter_map(|it| Some((key(it), it.version, it.event_id.clone()?)));
    for (key, version, event_id) in outbox.chain(answers) {
        expected.entry(key).or_default().insert(version, Some(event_id));
    }
    expected
}

/// By what each partition shows from its beginning to its end.
fn once_in_order(seen: &[Seen], findings: &mut Findings) {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut newest: HashMap<&Key, (i64, i32)> = HashMap::new();
    for event in seen {
        let name = name(&event.key, event.version, &event.event_id);
        if !ids.insert(&event.event_id) {
            findings.found(Breach::EventDoubled, name);
            continue;
        }
        let (version, partition) = *newest.entry(&event.key).or_insert((i64::MIN, event.partition));
        if event.partition != partition {
            findings.found(Breach::EventOutOfOrder, format!("{name}: in two partitions"));
        } else if event.version < version {
            findings.found(Breach::EventOutOfOrder, format!("{name}: after v{version}"));
        }
        newest.insert(&event.key, (version.max(event.version), partition));
    }
}

/// Events of writes that MongoDB no longer holds: a reader may have seen them, or not.
struct Lost<'a> {
    ids: BTreeSet<&'a str>,
    /// How many there are of each version whose event's id no answer named.
    nameless: HashMap<(Key, i64), usize>,
}

impl<'a> Lost<'a> {
    fn of(writes: &[&'a Acknowledged]) -> Self {
        let mut lost = Self { ids: BTreeSet::new(), nameless: HashMap::new() };
        for write in writes {
            match &write.event_id {
                Some(id) => _ = lost.ids.insert(id),
                None => *lost.nameless.entry((key(write), write.version)).or_default() += 1,
            }
        }
        lost
    }

    fn nameless(&self, key: &Key, version: i64) -> usize {
        self.nameless.get(&(key.clone(), version)).copied().unwrap_or_default()
    }
}

fn completely(seen: &[Seen], expected: &Expected, lost: &Lost<'_>, findings: &mut Findings) {
    let mut published: HashMap<(&Key, i64), BTreeSet<&str>> = HashMap::new();
    for event in seen.iter().filter(|event| !lost.ids.contains(event.event_id.as_str())) {
        let ids = published.entry((&event.key, event.version)).or_default();
        ids.insert(&event.event_id);
    }
    for (key, versions) in expected {
        for (version, event_id) in versions {
            let ids = published.remove(&(key, *version)).unwrap_or_default();
            let is_there = match event_id {
                Some(event_id) => ids.contains(event_id.as_str()),
                None => !ids.is_empty(),
            };
            let known = event_id.as_deref().unwrap_or("of unknown id");
            if !is_there {
                findings.found(Breach::EventMissing, name(key, *version, known));
            }
            // Another event of the same version: where no id is known, all but one are.
            let own = usize::from(event_id.is_none()) + lost.nameless(key, *version);
            for id in ids.into_iter().filter(|id| *id != known).skip(own) {
                findings.found(Breach::EventUnasked, name(key, *version, id));
            }
        }
    }
    for ((key, version), ids) in published {
        for id in ids.into_iter().skip(lost.nameless(key, version)) {
            findings.found(Breach::EventUnasked, name(key, version, id));
        }
    }
}

fn name((domain, id): &Key, version: i64, event_id: &str) -> String {
    format!("{} {id} v{version}, event {event_id}", domain.topic())
}

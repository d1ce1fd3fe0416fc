use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What must hold at the end, each as the way in which it can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Acknowledged, but the document is not there, older, or says something else.
    WriteMissing,
    /// In MongoDB, but no client made it: done twice, or half.
    WriteUnasked,
    /// Belongs to a committed write, but no read_committed reader sees it.
    EventMissing,
    /// Published, but not of a committed write.
    EventUnasked,
    /// Seen twice by a read_committed reader.
    EventDoubled,
    /// After a later version of its entity, or in another partition.
    EventOutOfOrder,
    /// Left over in the dead-letter topic or among the outbox's dead.
    DeadLetter,
    RowMissing,
    RowExtra,
    /// Of an older version than its document.
    RowStale,
    /// Of the right version, but with other values or of another event.
    RowDifferent,
}

impl Breach {
    pub const ALL: [Self; 11] = [
        Self::WriteMissing,
        Self::WriteUnasked,
        Self::EventMissing,
        Self::EventUnasked,
        Self::EventDoubled,
        Self::EventOutOfOrder,
        Self::DeadLetter,
        Self::RowMissing,
        Self::RowExtra,
        Self::RowStale,
        Self::RowDifferent,
    ];
}

/// What was looked at and what was found broken, each breach named by what it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    looked_at: BTreeMap<Breach, usize>,
    broken: BTreeMap<Breach, BTreeSet<String>>,
}

impl Findings {
    pub fn looked_at(&mut self, breaches: &[Breach], count: usize) {
        for breach in breaches {
            *self.looked_at.entry(*breach).or_default() += count;
        }
    }

    pub fn found(&mut self, breach: Breach, what: String) {
        self.broken.entry(breach).or_default().insert(what);
    }

    pub fn add(&mut self, other: Self) {
        for (breach, count) in other.looked_at {
            self.looked_at(&[breach], count);
        }
        for (breach, broken) in other.broken {
            self.broken.entry(breach).or_default().extend(broken);
        }
    }

    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    pub fn of(&self, breach: Breach) -> usize {
        self.broken.get(&breach).map_or(0, BTreeSet::len)
    }

    pub fn looked(&self, breach: Breach) -> usize {
        self.looked_at.get(&breach).copied().unwrap_or_default()
    }

    /// How many there are of each, of those that were found at all.
    pub fn counts(&self) -> BTreeMap<Breach, usize> {
        self.broken.iter().map(|(breach, found)| (*breach, found.len())).collect()
    }

    pub fn examples(&self) -> impl Iterator<Item = (Breach, &String)> {
        self.broken.iter().flat_map(|(breach, found)| found.iter().map(move |what| (*breach, what)))
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WriteMissing => "acknowledged writes missing in MongoDB",
            Self::WriteUnasked => "writes in MongoDB that no client made",
            Self::EventMissing => "events missing",
            Self::EventUnasked => "events of no committed write",
            Self::EventDoubled => "events doubled (read_committed)",
            Self::EventOutOfOrder => "events out of order",
            Self::DeadLetter => "events given up (dead letters)",
            Self::RowMissing => "rows missing",
            Self::RowExtra => "rows extra",
            Self::RowStale => "rows stale",
            Self::RowDifferent => "rows different",
        })
    }
}

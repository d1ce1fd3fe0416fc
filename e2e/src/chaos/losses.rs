//! What the faults themselves have taken: neither is the pipeline blamed for it, nor is
//! anything else excused by it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::check::{Key, Seen, key};
use super::ledger::{Acknowledged, How};

#[derive(Debug, Default)]
pub struct Losses {
    /// Lines of the ledger: MongoDB was restored to the moment before the first.
    rolled_back: Vec<Range<usize>>,
    /// What a reader saw in the topics before it was deleted.
    deleted: Vec<Seen>,
    replayed: bool,
}

impl Losses {
    pub fn roll_back(&mut self, lines: Range<usize>) {
        self.rolled_back.push(lines);
    }

    /// All of their partitions up to where they were deleted.
    pub fn delete(&mut self, records: Vec<Seen>) {
        self.deleted.extend(records);
    }

    /// `outboxctl replay` was run: it fills rows that name no event.
    pub fn replay(&mut self) {
        self.replayed = true;
    }

    pub fn may_name_no_event(&self) -> bool {
        self.replayed
    }

    /// What a reader that was never late has seen: `remaining` comes after what was deleted.
    pub fn seen_in_all(&self, remaining: Vec<Seen>) -> Vec<Seen> {
        self.deleted.iter().cloned().chain(remaining).collect()
    }

    /// The writes that must be found.
    pub fn kept<'a>(&self, lines: &'a [Acknowledged]) -> Vec<&'a Acknowledged> {
        let kept = lines.iter().enumerate().filter(|(line, _)| !self.is_rolled_back(*line));
        kept.map(|(_, write)| write).collect()
    }

    /// The writes whose events may be found, as readers may have seen them.
    pub fn lost<'a>(&self, lines: &'a [Acknowledged]) -> Vec<&'a Acknowledged> {
        let lost = lines.iter().enumerate().filter(|(line, _)| self.is_rolled_back(*line));
        lost.map(|(_, write)| write).collect()
    }

    /// Versions that an entity skipped when it was lifted above those that readers had seen.
    pub fn skipped(&self, lines: &[Acknowledged]) -> HashSet<(Key, i64)> {
        let (mut newest, mut skipped) = (BTreeMap::<Key, i64>::new(), HashSet::new());
        for write in self.kept(lines) {
            let before = newest.insert(key(write), write.version).unwrap_or_default();
            if write.how == How::Restored {
                skipped.extend((before + 1..write.version).map(|version| (key(write), version)));
            }
        }
        skipped
    }

    fn is_rolled_back(&self, line: usize) -> bool {
        self.rolled_back.iter().any(|lines| lines.contains(&line))
    }
}

//! Which partitions stand still behind their ends. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Held;
use crate::landing::{Ends, Place};

/// A transaction of ours takes milliseconds, under a backlog half a second.
const LONG: Duration = Duration::from_millis(3_500);

/// Partitions that end behind what is decided, and since when they have not moved.
#[derive(Debug, Default)]
pub struct Tracker(BTreeMap<Place, (i64, Instant)>);

impl Tracker {
    /// `written` are the ends that were asked for before `decided` was. True if a partition
    /// is behind.
    pub fn look(&mut self, written: &Ends, decided: &Ends, now: Instant) -> bool {
        let before = std::mem::take(&mut self.0);
        let behind = decided
            .iter()
            .filter(|(place, decided)| written.get(place).is_some_and(|written| written > decided));
        for (place, offset) in behind {
            let since = match before.get(place) {
                Some((same, since)) if same == offset => *since,
                _ => now,
            };
            self.0.insert(place.clone(), (*offset, since));
        }
        !self.0.is_empty()
    }

    /// Those that have stood still for long. What began to stand still after a transaction
    /// of our `own` was begun may be held back by that: it ends, or another part of the
    /// relay says why it does not.
    pub fn standing_still(&self, now: Instant, own: Option<Instant>) -> Vec<Held> {
        let is_long = |since: Instant| now.duration_since(since) >= LONG;
        let may_be_own = |since: Instant| own.is_some_and(|begun| begun <= since);
        let held = self.0.iter().filter(|(_, (_, since))| is_long(*since) && !may_be_own(*since));
        held.map(|(place, (offset, _))| Held { place: place.clone(), offset: *offset }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends<const N: usize>(ends: [(i32, i64); N]) -> Ends {
        let place = |partition| Place { topic: "post".to_owned(), partition };
        ends.into_iter().map(|(partition, end)| (place(partition), end)).collect()
    }

    fn offsets(held: &[Held]) -> Vec<(i32, i64)> {
        held.iter().map(|held| (held.place.partition, held.offset)).collect()
    }

    #[test]
    fn what_moves_or_is_at_its_end_does_not_stand_still() {
        let begun = Instant::now();
        let mut tracker = Tracker::default();
        assert!(tracker.look(
            &ends([(0, 9), (1, 9), (2, 9)]),
            &ends([(0, 5), (1, 5), (2, 9)]),
            begun
        ));
        assert!(tracker.standing_still(begun, None).is_empty());
        let later = begun + LONG;
        assert!(tracker.look(
            &ends([(0, 9), (1, 9), (2, 9)]),
            &ends([(0, 5), (1, 6), (2, 9)]),
            later
        ));
        assert_eq!(offsets(&tracker.standing_still(later, None)), [(0, 5)]);
        assert!(!tracker.look(&ends([(0, 9), (1, 9)]), &ends([(0, 9), (1, 9)]), later));
        assert!(tracker.standing_still(later + LONG, None).is_empty());
    }

    #[test]
    fn a_transaction_of_our_own_is_not_reported() {
        let begun = Instant::now();
        let mut tracker = Tracker::default();
        tracker.look(&ends([(0, 9)]), &ends([(0, 5)]), begun);
        let later = begun + LONG;
        tracker.look(&ends([(0, 9)]), &ends([(0, 5)]), later);
        assert!(tracker.standing_still(later, Some(begun)).is_empty());
        let younger = Some(begun + LONG / 2);
        assert_eq!(offsets(&tracker.standing_still(later, younger)), [(0, 5)]);
    }
}

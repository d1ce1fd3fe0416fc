//! How far this shard is known to have come in a session, and the projector behind it.
//! Pure.

use shared::watermark::Partition;

use crate::lag::Advance;
use crate::landing::{Ends, Place};
use crate::marks::Marks;
use crate::position::ClusterTime;

#[derive(Debug)]
pub struct Frontier {
    published: ClusterTime,
    /// The offset after the last event of each partition.
    ends: Ends,
    committed: Ends,
    marks: Marks,
    applied: Option<ClusterTime>,
    /// Something that the stored watermark does not say yet.
    news: bool,
}

impl Frontier {
    /// `ends` were looked up after `beginning` was told, so that all that it covers lies
    /// before them.
    pub fn new(beginning: Advance, ends: Ends) -> Self {
        let mut marks = Marks::default();
        marks.push(beginning.through, ends.clone());
        Self {
            published: beginning.through,
            ends,
            committed: Ends::new(),
            marks,
            applied: None,
            news: true,
        }
    }

    /// False where it is not known where the events landed: then that must be looked up.
    pub fn advance(&mut self, next: Advance) -> bool {
        let Some(landed) = next.landed.ends() else {
            return false;
        };
        self.news |= next.settled || !landed.is_empty();
        self.ends.extend(landed.clone());
        if next.through > self.published || !landed.is_empty() {
            self.marks.push(next.through, landed);
        }
        self.published = next.through;
        true
    }

    /// The projector's group has committed these offsets. True where they are others than
    /// before.
    pub fn see(&mut self, committed: Ends) -> bool {
        let moved = committed != self.committed;
        self.committed = committed;
        let applied = self.marks.pass(&self.committed);
        self.news |= moved || applied.is_some();
        self.applied = applied.or(self.applied);
        moved
    }

    /// Whether something is published that is not known to be applied.
    pub fn is_awaited(&self) -> bool {
        !self.marks.is_empty()
    }

    pub fn has_news(&mut self) {
        self.news = true;
    }

    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    pub fn published(&self) -> ClusterTime {
        self.published
    }

    pub fn applied(&self) -> Option<ClusterTime> {
        self.applied
    }

    pub fn places(&self) -> Vec<Place> {
        self.ends.keys().cloned().collect()
    }

    pub fn partitions(&self) -> Vec<Partition> {
        let partition = |(place, end): (&Place, &i64)| Partition {
            topic: place.topic.clone(),
            partition: place.partition,
            end: *end,
            applied: self.committed.get(place).copied(),
        };
        self.ends.iter().map(partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::Landing;

    fn time(increment: u32) -> ClusterTime {
        ClusterTime { seconds: 9, increment }
    }

    fn at(offset: i64) -> Ends {
        [(Place { topic: "user".to_owned(), partition: 0 }, offset)].into()
    }

    fn advance(through: u32, offset: Option<i64>, settled: bool) -> Advance {
        let mut landed = Landing::default();
        if let Some(offset) = offset {
            landed.note("user", 0, offset);
        }
        Advance { term: 1, through: time(through), landed, settled }
    }

    #[test]
    fn an_event_is_applied_only_once_its_offset_is_committed() {
        let mut frontier = Frontier::new(advance(1, None, false), at(4));
        assert!(frontier.take_news() && frontier.is_awaited());
        assert!(frontier.see(at(4)));
        assert_eq!(frontier.applied(), Some(time(1)));
        // It landed, and others may have been committed in the same moment.
        assert!(frontier.advance(advance(6, Some(5), false)));
        frontier.see(at(5));
        assert_eq!(frontier.applied(), Some(time(1)));
        assert!(frontier.advance(advance(7, None, true)));
        assert_eq!(frontier.published(), time(7));
        assert!(!frontier.see(at(5)));
        assert_eq!(frontier.applied(), Some(time(1)), "the event itself is at offset 5");
        assert!(frontier.see(at(6)));
        assert_eq!(frontier.applied(), Some(time(7)));
        assert!(!frontier.is_awaited());
    }

    #[test]
    fn an_idle_position_that_moves_on_is_no_news() {
        let mut frontier = Frontier::new(advance(1, None, false), at(4));
        frontier.see(at(4));
        assert!(frontier.take_news());
        assert!(frontier.advance(advance(9, None, false)));
        assert!(!frontier.take_news());
        frontier.see(at(4));
        assert_eq!(frontier.applied(), Some(time(9)), "and yet it counts with the next one");
    }

    #[test]
    fn an_unknown_place_ends_what_is_known() {
        let mut frontier = Frontier::new(advance(1, None, false), at(4));
        assert!(!frontier.advance(advance(2, Some(-1001), false)));
    }
}

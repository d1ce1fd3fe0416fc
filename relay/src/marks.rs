//! What the projector still has to pass until everything that was committed up to a
//! moment is applied. Pure.

use std::collections::VecDeque;

use crate::landing::Ends;
use crate::position::ClusterTime;

/// More marks than these are thinned out: the older the wait, the coarser its steps.
const MOST: usize = 512;

/// All that is published and not known to be applied.
#[derive(Debug, Default)]
pub struct Marks(VecDeque<Mark>);

#[derive(Debug, PartialEq)]
struct Mark {
    through: ClusterTime,
    /// Where the projector must have come for the events since the mark before.
    ends: Ends,
}

impl Marks {
    /// Everything committed up to `through` lies before `ends` or before those of earlier
    /// marks. `through` must not fall.
    pub fn push(&mut self, through: ClusterTime, ends: Ends) {
        if self.0.len() >= MOST {
            self.thin_out();
        }
        self.0.push_back(Mark { through, ends });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes off the marks that the group's committed offsets have passed, and tells the
    /// newest of them: everything committed up to it is applied.
    pub fn pass(&mut self, committed: &Ends) -> Option<ClusterTime> {
        let mut through = None;
        while self.0.front().is_some_and(|mark| mark.is_passed(committed)) {
            through = self.0.pop_front().map(|mark| mark.through);
        }
        through
    }

    /// Of each two marks the later one, which asks for what both asked for.
    fn thin_out(&mut self) {
        let mut thinned = VecDeque::with_capacity(MOST);
        let mut marks = std::mem::take(&mut self.0).into_iter();
        while let Some(mut mark) = marks.next() {
            if let Some(later) = marks.next() {
                mark.through = later.through;
                mark.ends.extend(later.ends);
            }
            thinned.push_back(mark);
        }
        self.0 = thinned;
    }
}

impl Mark {
    /// A partition without records is passed, whether or not anything was committed there.
    fn is_passed(&self, committed: &Ends) -> bool {
        let passed = |place, end: i64| committed.get(place).is_some_and(|offset| *offset >= end);
        self.ends.iter().all(|(place, end)| *end == 0 || passed(place, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::Place;

    fn time(increment: u32) -> ClusterTime {
        ClusterTime { seconds: 9, increment }
    }

    fn ends<const N: usize>(ends: [(i32, i64); N]) -> Ends {
        let place = |partition| Place { topic: "user".to_owned(), partition };
        ends.into_iter().map(|(partition, end)| (place(partition), end)).collect()
    }

    #[test]
    fn the_newest_mark_that_is_wholly_passed_counts() {
        let mut marks = Marks::default();
        marks.push(time(1), ends([(0, 5), (1, 0)]));
        marks.push(time(2), ends([(1, 3)]));
        marks.push(time(3), ends([(0, 8), (1, 4)]));
        assert_eq!(marks.pass(&ends([])), None, "nobody has read anything");
        assert_eq!(marks.pass(&ends([(0, 4)])), None);
        assert_eq!(marks.pass(&ends([(0, 5)])), Some(time(1)), "partition 1 was empty then");
        assert_eq!(marks.pass(&ends([(0, 8), (1, 2)])), None);
        assert_eq!(marks.pass(&ends([(0, 8), (1, 9)])), Some(time(3)));
        assert!(marks.is_empty());
    }

    /// A later mark, however easily passed, does not count before an earlier one.
    #[test]
    fn an_earlier_mark_holds_back_all_later_ones() {
        let mut marks = Marks::default();
        marks.push(time(1), ends([(0, 5)]));
        marks.push(time(2), ends([(1, 3)]));
        marks.push(time(3), ends([]));
        assert_eq!(marks.pass(&ends([(1, 3)])), None);
        assert_eq!(marks.pass(&ends([(0, 5), (1, 3)])), Some(time(3)));
    }

    #[test]
    fn a_long_wait_is_coarse_but_bounded_and_true() {
        let mut marks = Marks::default();
        for number in 1..=10_000_u32 {
            marks.push(time(number), ends([(0, i64::from(number))]));
            assert!(marks.0.len() <= MOST);
        }
        assert_eq!(marks.pass(&ends([(0, 0)])), None);
        let half = marks.pass(&ends([(0, 5_000)])).unwrap();
        assert!(half <= time(5_000) && half >= time(4_000), "{half:?}");
        assert_eq!(marks.pass(&ends([(0, 10_000)])), Some(time(10_000)));
    }
}

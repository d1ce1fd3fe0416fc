//! A domain's ids, cut into ranges that are compared side by side.

use bson::{Document, doc};
use shared::Id;

/// Ids after the one and up to the other, which is included. Without a bound it is
/// open on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    pub after: Option<Id>,
    pub through: Option<Id>,
}

impl Range {
    /// About `count` ranges that hold about as many documents each, going by a random
    /// sample of the ids. Together they hold every id there is.
    pub fn cut(mut sample: Vec<Id>, count: usize) -> Vec<Self> {
        sample.sort_unstable();
        sample.dedup();
        let mut ranges = Vec::with_capacity(count);
        let mut after = None;
        for number in 1..count {
            let through = sample.get(sample.len() * number / count).copied();
            if through.is_some() && through > after {
                ranges.push(Self { after, through });
                after = through;
            }
        }
        ranges.push(Self { after, through: None });
        ranges
    }

    /// MongoDB compares within one type only. The first range takes along whatever
    /// `_id` is no ObjectId, so that it is not passed over.
    pub fn filter(self) -> Document {
        match (self.after, self.through) {
            (None, None) => doc! {},
            (None, Some(through)) => doc! {"_id": {"$not": {"$gt": through}}},
            (Some(after), None) => doc! {"_id": {"$gt": after}},
            (Some(after), Some(through)) => doc! {"_id": {"$gt": after, "$lte": through}},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        format!("{number:024x}").parse().unwrap()
    }

    #[test]
    fn ranges_follow_on_each_other_and_leave_nothing_out() {
        for (sample, count) in [(0, 4), (1, 4), (3, 8), (1_000, 1), (1_000, 16)] {
            let ranges = Range::cut((0..sample).rev().map(id).collect(), count);
            assert!(ranges.len() <= count);
            assert_eq!(ranges[0].after, None);
            assert_eq!(ranges[ranges.len() - 1].through, None);
            for pair in ranges.windows(2) {
                assert!(pair[0].through.is_some() && pair[0].through == pair[1].after);
                assert!(pair[0].after < pair[0].through);
            }
        }
        assert_eq!(Range::cut((0..1_000).map(id).collect(), 16).len(), 16);
    }

    #[test]
    fn the_first_range_takes_ids_of_other_types_along() {
        let ranges = Range::cut((0..10).map(id).collect(), 2);
        assert!(ranges[0].filter().get_document("_id").unwrap().contains_key("$not"));
        assert_eq!(Range::cut(Vec::new(), 4)[0].filter(), doc! {});
    }
}

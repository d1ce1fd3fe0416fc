//! Records that were deleted from the topics before the projector had read them, as the
//! watermark keeps them. Pure.

use std::ops::Range;

use shared::watermark::{Loss, MOST_LOSSES};

use crate::landing::Place;
use crate::position::ClusterTime;

/// Offsets that the projector reports with those that it commits.
pub type Reported = Vec<(Place, Range<i64>)>;

#[derive(Debug, Default)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// As the stored watermark has them.
    pub fn known(stored: Vec<Loss>) -> Self {
        Self(stored)
    }

    /// Whether all that is reported is known.
    pub fn knows(&self, reported: &Reported) -> bool {
        reported.iter().all(|(place, range)| self.holds(place, range))
    }

    fn holds(&self, place: &Place, range: &Range<i64>) -> bool {
        self.0.iter().any(|loss| {
            is_at(loss, place) && loss.from_offset <= range.start && range.end <= loss.to_offset
        })
    }

    /// Adds what is new: everything committed up to `after` was applied before, and everything
    /// that was lost was committed by `through`.
    pub fn add(&mut self, reported: &Reported, after: Option<ClusterTime>, through: ClusterTime) {
        for (place, range) in reported {
            if self.holds(place, range) {
                continue;
            }
            self.0.push(Loss {
                topic: place.topic.clone(),
                partition: place.partition,
                from_offset: range.start,
                to_offset: range.end,
                after: after.map(bson::Timestamp::from),
                through: through.into(),
            });
        }
        while self.0.len() > MOST_LOSSES && self.join_oldest() {}
    }

    /// Makes one of the two oldest of a partition; false if no partition has two.
    fn join_oldest(&mut self) -> bool {
        let is_same = |a: &Loss, b: &Loss| a.topic == b.topic && a.partition == b.partition;
        let pair = (0..self.0.len()).find_map(|older| {
            let later = self.0.iter().skip(older + 1).position(|it| is_same(it, &self.0[older]))?;
            Some((older, older + 1 + later))
        });
        let Some((older, later)) = pair else {
            return false;
        };
        let later = self.0.remove(later);
        let older = &mut self.0[older];
        older.from_offset = older.from_offset.min(later.from_offset);
        older.to_offset = older.to_offset.max(later.to_offset);
        // Unknown is earlier than all that is known.
        older.after = older.after.min(later.after);
        older.through = older.through.max(later.through);
        true
    }

    pub fn list(&self) -> Vec<Loss> {
        self.0.clone()
    }
}

fn is_at(loss: &Loss, place: &Place) -> bool {
    loss.topic == place.topic && loss.partition == place.partition
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(increment: u32) -> ClusterTime {
        ClusterTime { seconds: 9, increment }
    }

    fn at(partition: i32, range: Range<i64>) -> (Place, Range<i64>) {
        (Place { topic: "user".to_owned(), partition }, range)
    }

    #[test]
    fn what_is_reported_again_is_known() {
        let mut losses = Losses::default();
        let first = vec![at(1, 5..9)];
        assert!(losses.knows(&Reported::new()) && !losses.knows(&first));
        losses.add(&first, Some(time(1)), time(2));
        assert!(losses.knows(&first) && !losses.knows(&vec![at(0, 5..9)]));
        losses.add(&vec![at(1, 5..9), at(1, 20..30)], Some(time(3)), time(4));
        let offsets: Vec<_> = losses.list().iter().map(|it| (it.from_offset, it.through)).collect();
        assert_eq!(offsets, [(5, time(2).into()), (20, time(4).into())]);
    }

    #[test]
    fn many_are_joined_and_stay_known() {
        let mut losses = Losses::default();
        let mut all = Reported::new();
        for number in 0..100_u32 {
            let from = i64::from(number) * 10;
            let reported = vec![at(i32::try_from(number % 3).unwrap(), from..from + 5)];
            losses.add(&reported, Some(time(number)), time(number + 1));
            all.extend(reported);
        }
        assert_eq!(losses.list().len(), MOST_LOSSES);
        assert!(losses.knows(&all));
        let first = &losses.list()[0];
        assert_eq!(first.after, Some(time(0).into()));
        assert!(first.through > time(1).into(), "{first:?}");
    }

    #[test]
    fn partitions_are_not_joined_with_one_another() {
        let mut losses = Losses::default();
        for partition in 0..40 {
            losses.add(&vec![at(partition, 0..5)], None, time(1));
        }
        assert_eq!(losses.list().len(), 40);
    }
}

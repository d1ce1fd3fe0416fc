//! What was read and waits for its transaction. Pure.

use std::collections::VecDeque;

use crate::batch::{Batch, Limits};

/// So many full batches may wait. While a transaction ends nothing can be sent for some
/// 25 ms, and MongoDB would stand still meanwhile: this is what it brings in that time.
const FULL: usize = 3;

/// Batches in the order in which they were read. The last one gathers.
#[derive(Debug)]
pub struct Ahead {
    full: VecDeque<Batch>,
    gathering: Batch,
}

/// How much there is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Nothing,
    Events,
    /// Worth adding to a transaction that was begun.
    Full,
}

impl Ahead {
    pub fn new(limits: Limits) -> Self {
        Self { full: VecDeque::with_capacity(FULL), gathering: Batch::new(limits) }
    }

    /// What the tail adds to; `None` where it must wait.
    pub fn room(&mut self) -> Option<&mut Batch> {
        if self.gathering.is_full() && self.full.len() < FULL {
            self.full.push_back(self.gathering.take());
        }
        Some(&mut self.gathering).filter(|batch| !batch.is_full())
    }

    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.gathering.is_empty()
    }

    pub fn waiting(&self) -> Waiting {
        match self {
            _ if self.is_empty() => Waiting::Nothing,
            _ if self.has_full() => Waiting::Full,
            _ => Waiting::Events,
        }
    }

    /// Whether the oldest one is worth adding to a transaction.
    pub fn has_full(&self) -> bool {
        !self.full.is_empty() || self.gathering.is_full()
    }

    /// The oldest one, as far as it has come.
    pub fn take(&mut self) -> Batch {
        self.full.pop_front().unwrap_or_else(|| self.gathering.take())
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::batch::Event;

    fn event(number: usize) -> Event {
        Event::Swept(rawdoc! { "n": i32::try_from(number).unwrap() })
    }

    fn lengths(mut ahead: Ahead) -> Vec<usize> {
        std::iter::from_fn(|| (!ahead.is_empty()).then(|| ahead.take().len())).collect()
    }

    #[test]
    fn is_bounded_and_keeps_the_order() {
        let mut ahead = Ahead::new(Limits { events: 2, bytes: usize::MAX });
        let mut read = 0;
        while let Some(batch) = ahead.room() {
            batch.push(event(read));
            read += 1;
        }
        assert_eq!(read, 2 * (FULL + 1));
        let first = ahead.take();
        assert_eq!(first.events()[0].document().get_i32("n").unwrap(), 0);
        assert!(ahead.room().is_some(), "there is room again");
        assert_eq!(lengths(ahead), [2; FULL]);
    }

    #[test]
    fn what_has_only_begun_can_be_taken_but_is_not_full() {
        let mut ahead = Ahead::new(Limits { events: 2, bytes: usize::MAX });
        assert!(ahead.is_empty());
        ahead.room().unwrap().push(event(0));
        assert!(!ahead.is_empty() && !ahead.has_full());
        assert_eq!(lengths(ahead), [1]);
    }
}

//! When a checkpoint is written down, and where to look for what is published after it.

use std::time::{Duration, Instant};

use crate::landing::{Ends, EndsByTopic, Landing, by_topic};

/// Between two checkpoints while events come one by one: what was published meanwhile is
/// read back by whoever comes next. A checkpoint is a request and a partition more in its
/// transaction, a fifth of the time that takes.
const EVERY: Duration = Duration::from_secs(1);

/// With so many events one more record makes no difference.
const MANY: usize = 64;

/// What the last checkpoint in the topic is good for.
#[derive(Debug, Default)]
pub struct Book {
    written: Option<Instant>,
    /// All that was published up to now lies before these.
    ends: Ends,
    /// Of the checkpoint that this session began with, while events are still to come
    /// that were published after it.
    former: Option<EndsByTopic>,
}

impl Book {
    /// Nothing is published in this session yet, and the topics end here.
    pub fn begin(&mut self, ends: Ends) {
        self.ends = ends;
    }

    /// Until [`Book::forget`] a checkpoint that is written says what this one said.
    pub fn keep(&mut self, former: EndsByTopic) {
        self.former = Some(former);
    }

    /// The stream has passed what was published before this session.
    pub fn forget(&mut self) {
        self.former = None;
    }

    /// Whether a transaction of `events` events is to carry its checkpoint.
    pub fn is_due(&self, events: usize) -> bool {
        let is_recent = self.written.is_some_and(|written| written.elapsed() < EVERY);
        events == 0 || events >= MANY || !is_recent
    }

    /// The [`Checkpoint::ends`] of one that is now sent: it is taken for written until
    /// [`Book::withdraw`].
    ///
    /// [`Checkpoint::ends`]: crate::checkpoint::Checkpoint::ends
    pub fn write(&mut self) -> EndsByTopic {
        self.written = Some(Instant::now());
        self.former.clone().unwrap_or_else(|| by_topic(&self.ends))
    }

    /// A transaction has failed, perhaps with its checkpoint: the next one carries one.
    pub fn withdraw(&mut self) {
        self.written = None;
    }

    /// Something was committed. Where it is not known where that lies, the ends before it
    /// are as good.
    pub fn land(&mut self, landing: &Landing) {
        self.ends.extend(landing.clone().ends().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::Place;

    fn landing(topic: &str, partition: i32, last: i64) -> Landing {
        let mut landing = Landing::default();
        landing.note(topic, partition, last);
        landing
    }

    #[test]
    fn the_first_and_the_large_are_written_and_those_after_a_failure() {
        let mut book = Book::default();
        assert!(book.is_due(1));
        book.write();
        assert!(!book.is_due(1));
        assert!(book.is_due(0), "nothing but a checkpoint");
        assert!(book.is_due(MANY));
        assert!(!book.is_due(MANY - 1));
        book.withdraw();
        assert!(book.is_due(1));
    }

    #[test]
    fn the_ends_move_on_once_the_stream_has_passed_what_was_there() {
        let mut book = Book::default();
        let place = |topic: &str, partition| Place { topic: topic.to_owned(), partition };
        book.begin([(place("user", 0), 10), (place("post", 1), 20)].into());
        let former = EndsByTopic::from([("user".to_owned(), [(0, 7)].into())]);
        book.keep(former.clone());
        book.land(&landing("user", 0, 30));
        assert_eq!(book.write(), former);
        book.forget();
        let moved = [("user".to_owned(), [(0, 31)].into()), ("post".to_owned(), [(1, 20)].into())];
        assert_eq!(book.write(), EndsByTopic::from(moved.clone()));
        // Nobody knows where: then the ends stay.
        book.land(&landing("user", 0, -1001));
        assert_eq!(book.write(), EndsByTopic::from(moved));
    }
}

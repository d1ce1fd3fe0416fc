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

    /// Whether a transaction of `events` events is to carry its checkpoint. Then it is taken
    /// for written, until [`Book::is_lost`].
    pub fn writes(&mut self, events: usize) -> bool {
        let is_recent = self.written.is_some_and(|written| written.elapsed() < EVERY);
        let writes = events == 0 || events >= MANY || !is_recent;
        if writes {
            self.written = Some(Instant::now());
        }
        writes
    }

    /// A transaction has failed, perhaps with its checkpoint.
    pub fn is_lost(&mut self) {
        self.written = None;
    }

    /// Something was committed. Where it is not known where that lies, the ends before it
    /// are as good.
    pub fn land(&mut self, landing: &Landing) {
        self.ends.extend(landing.clone().ends().unwrap_or_default());
    }

    /// For a checkpoint: see there.
    pub fn ends(&self) -> EndsByTopic {
        self.former.clone().unwrap_or_else(|| by_topic(&self.ends))
    }
}

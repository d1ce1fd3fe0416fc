//! What the coordinator had decided about a transaction that hangs. Pure.
//!
//! `__transaction_state` is compacted: of each transactional id the newest record stays, and
//! older ones vanish. But if one record of an id is there, all later ones of that id are.
//! So the last record that names a partition can be told for certain.

use std::fmt;

use clap::ValueEnum;

use super::record::{Entry, Status};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Outcome {
    Commit,
    Abort,
}

/// An open transaction, as the leader of its partition describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub topic: String,
    pub partition: i32,
    pub producer_id: i64,
    pub producer_epoch: i16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Made {
        outcome: Outcome,
        grounds: String,
    },
    /// It has not ended: the last record about it says that it is under way.
    Pending,
    Unknown(String),
}

/// What the records of one producer tell, gathered from the oldest to the newest.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Of the transaction under way: the producer's epoch when it began.
    began: Option<i16>,
    /// Whether the records from before the first transaction of that epoch are still there.
    whole: bool,
    /// The last one that was ended with this partition in it.
    named: Option<Ended>,
    /// Those of the epoch that were ended without it.
    commits: u64,
    aborts: u64,
    /// The newest record: its state, time, and whether it names the partition.
    last: Option<(Entry, bool)>,
}

#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    entry: Entry,
}

impl Evidence {
    /// Takes the next record of the log. Those of other producers tell nothing.
    pub fn add(&mut self, question: &Question, entry: &Entry) {
        if entry.producer_id != question.producer_id {
            return;
        }
        let (epoch, asked) = (entry.producer_epoch, question.producer_epoch);
        if self.last.is_none() {
            self.whole = epoch < asked || (epoch == asked && entry.status == Status::Empty);
        }
        let named = |(topic, partition): &(String, i32)| {
            *topic == question.topic && *partition == question.partition
        };
        let names = entry.partitions.iter().any(named);
        match entry.status {
            Status::Ongoing => self.began = Some(epoch),
            Status::PrepareCommit => self.end(question, Outcome::Commit, entry, names),
            Status::PrepareAbort => self.end(question, Outcome::Abort, entry, names),
            Status::PrepareEpochFence => {}
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort | Status::Dead => {
                self.began = None;
            }
        }
        self.last = Some((entry.clone(), names));
    }

    fn end(&mut self, question: &Question, outcome: Outcome, entry: &Entry, names: bool) {
        let asked = question.producer_epoch;
        // An abort that fences the producer raises the epoch, and with newer clients every
        // end does: it is the epoch at the beginning that counts.
        let of_that_epoch = match self.began {
            Some(began) => began == asked,
            None => [Some(asked), asked.checked_add(1)].contains(&Some(entry.producer_epoch)),
        };
        match (of_that_epoch, names, outcome) {
            (false, _, _) => {}
            (true, true, _) => self.named = Some(Ended { outcome, entry: entry.clone() }),
            (true, false, Outcome::Commit) => self.commits += 1,
            (true, false, Outcome::Abort) => self.aborts += 1,
        }
    }

    /// The transactional id, if the producer has left a trace.
    pub fn transactional_id(&self) -> Option<&str> {
        self.last.as_ref().map(|(entry, _)| entry.transactional_id.as_str())
    }

    pub fn decision(&self) -> Decision {
        let Some((last, names)) = &self.last else {
            let nothing = "__transaction_state holds nothing of this producer any more: its \
                           transactional id has expired, or its records were compacted away";
            return Decision::Unknown(nothing.to_owned());
        };
        if *names && last.status.is_pending() {
            return Decision::Pending;
        }
        if let Some(Ended { outcome, entry }) = &self.named {
            let grounds = format!("{entry} names this partition");
            return Decision::Made { outcome: *outcome, grounds };
        }
        if !self.whole {
            return Decision::Unknown(format!(
                "the records of its transactions were compacted away; the last one of the producer is {last}"
            ));
        }
        match (self.commits, self.aborts) {
            (0, 0) => Decision::Unknown(format!(
                "the producer has ended no transaction; its last record is {last}"
            )),
            (commits, 0) => unanimous(Outcome::Commit, commits),
            (0, aborts) => unanimous(Outcome::Abort, aborts),
            (commits, aborts) => Decision::Unknown(format!(
                "the partition is in none of the producer's transactions, of which {commits} \
                 were committed and {aborts} aborted"
            )),
        }
    }
}

fn unanimous(outcome: Outcome, count: u64) -> Decision {
    let grounds = format!(
        "the coordinator does not know that the partition took part; it has decided so for \
         every transaction that the producer has ended in this epoch ({count})"
    );
    Decision::Made { outcome, grounds }
}

impl Status {
    fn is_pending(self) -> bool {
        match self {
            Self::Ongoing | Self::PrepareCommit | Self::PrepareAbort | Self::PrepareEpochFence => {
                true
            }
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort | Self::Dead => false,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, transactional_id, .. } = self;
        write!(f, "{status:?} of {transactional_id}")?;
        match super::moment(self.updated_at) {
            Some(moment) => write!(f, " at {moment}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Abort => "abort",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Status::*;
    use super::*;

    const EPOCH: i16 = 18;

    /// Of one producer: each record's epoch, state, and whether it names the partition.
    fn decided(records: &[(i16, Status, bool)]) -> Decision {
        let question = Question {
            topic: "post".to_owned(),
            partition: 4,
            producer_id: 7,
            producer_epoch: EPOCH,
        };
        let mut evidence = Evidence::default();
        for (epoch, status, names) in records {
            let mut entry = Entry {
                transactional_id: "relay".to_owned(),
                producer_id: 7,
                producer_epoch: *epoch,
                status: *status,
                partitions: vec![("post".to_owned(), if *names { 4 } else { 5 })],
                updated_at: 0,
            };
            evidence.add(&question, &entry);
            entry.producer_id = 8;
            entry.status = PrepareAbort;
            evidence.add(&question, &entry);
        }
        evidence.decision()
    }

    fn outcome(records: &[(i16, Status, bool)]) -> Option<Outcome> {
        match decided(records) {
            Decision::Made { outcome, .. } => Some(outcome),
            Decision::Pending | Decision::Unknown(_) => None,
        }
    }

    #[test]
    fn the_last_end_that_names_the_partition_counts() {
        let lost = [(18, Ongoing, true), (18, PrepareCommit, true), (18, CompleteCommit, false)];
        assert_eq!(outcome(&lost), Some(Outcome::Commit));
        // What came later went to other partitions; so did what came before.
        let later = [(18, Ongoing, false), (18, PrepareAbort, false), (18, CompleteAbort, false)];
        assert_eq!(outcome(&[lost, later].concat()), Some(Outcome::Commit));
        assert_eq!(outcome(&[later, lost].concat()), Some(Outcome::Commit));
        let aborted = [(18, Ongoing, true), (18, PrepareAbort, true), (18, CompleteAbort, false)];
        assert_eq!(outcome(&[lost, aborted].concat()), Some(Outcome::Abort));
        // A new epoch of the producer changes nothing, nor one before.
        assert_eq!(outcome(&[&lost[..], &[(19, Empty, false)]].concat()), Some(Outcome::Commit));
        let next = [(19, Ongoing, false), (19, PrepareAbort, false), (19, CompleteAbort, false)];
        assert_eq!(outcome(&[lost, next].concat()), Some(Outcome::Commit));
    }

    #[test]
    fn an_end_may_raise_the_epoch() {
        let fenced = [(18, Ongoing, true), (19, PrepareAbort, true), (19, CompleteAbort, false)];
        assert_eq!(outcome(&fenced), Some(Outcome::Abort));
        // Compaction may have left the last record of a segment only.
        assert_eq!(outcome(&fenced[1..]), Some(Outcome::Abort));
        // The next epoch's own transaction is another one.
        let next = [(19, Ongoing, true), (19, PrepareAbort, true), (19, CompleteAbort, false)];
        assert_eq!(outcome(&next), None);
        let of_before = [(17, Ongoing, true), (17, PrepareAbort, true), (17, CompleteAbort, false)];
        assert_eq!(outcome(&of_before), None);
    }

    #[test]
    fn what_has_not_ended_is_pending() {
        for status in [Ongoing, PrepareCommit, PrepareAbort] {
            assert_eq!(decided(&[(18, Empty, false), (18, status, true)]), Decision::Pending);
        }
    }

    #[test]
    fn a_partition_that_no_transaction_names_follows_those_of_its_epoch_if_they_agree() {
        let begun = [(18, Empty, false)];
        let committed =
            [(18, Ongoing, false), (18, PrepareCommit, false), (18, CompleteCommit, false)];
        let aborted = [(18, Ongoing, false), (18, PrepareAbort, false), (18, CompleteAbort, false)];
        let commits = [&begun[..], &committed, &committed].concat();
        assert_eq!(outcome(&commits), Some(Outcome::Commit));
        assert_eq!(outcome(&[&begun[..], &aborted].concat()), Some(Outcome::Abort));
        assert_eq!(outcome(&[&commits[..], &aborted].concat()), None, "they do not agree");
        assert_eq!(outcome(&begun), None, "there are none");
        assert_eq!(outcome(&commits[1..]), None, "there may have been others");
        assert_eq!(outcome(&[(18, CompleteCommit, false)]), None, "there may have been others");
        assert_eq!(outcome(&[]), None);
    }
}

//! Offsets back to Kafka. Nothing here decides where reading begins: the group's offsets tell
//! the relay and everybody's tools how far the projector is, and what it never got to read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};
use shared::LostRanges;
use tokio::time::Instant;

use crate::group::Group;
use crate::record::Partition;

/// Offsets are committed at most this often. A client that waits for its write to be
/// applied learns of it by the committed offset.
const BETWEEN_COMMITS: Duration = Duration::from_millis(50);

/// What is committed, and what is to be.
#[derive(Default)]
pub(crate) struct Commits {
    offsets: BTreeMap<Partition, Committed>,
    /// Moved since they were last committed.
    moved: BTreeSet<Partition>,
    /// When the last commit was.
    last: Option<Instant>,
    due: Option<Instant>,
}

#[derive(Default)]
struct Committed {
    /// All before it is dealt with.
    next: i64,
    lost: LostRanges,
}

impl Commits {
    /// Reading begins here. `committed` is what the group says so far.
    pub(crate) fn located(&mut self, partition: &Partition, next: i64, committed: Option<i64>) {
        let committed = committed.unwrap_or_default();
        self.offsets.entry(partition.clone()).or_default().next = next;
        // What MySQL lacks is committed as it is applied again.
        if next > committed {
            self.move_on(partition);
        }
    }

    pub(crate) fn remove(&mut self, partition: &Partition) {
        self.offsets.remove(partition);
        self.moved.remove(partition);
    }

    pub(crate) fn set_lost(&mut self, partition: &Partition, lost: LostRanges) {
        if let Some(committed) = self.offsets.get_mut(partition)
            && committed.lost != lost
        {
            committed.lost = lost;
            self.move_on(partition);
        }
    }

    /// The record at `offset` is dealt with, and all before it.
    pub(crate) fn applied(&mut self, partition: &Partition, offset: i64) {
        if let Some(committed) = self.offsets.get_mut(partition) {
            committed.next = offset + 1;
            self.moved.insert(partition.clone());
        }
    }

    fn move_on(&mut self, partition: &Partition) {
        self.moved.insert(partition.clone());
        self.due = self.due.or_else(|| Some(Instant::now()));
    }

    /// Commits without waiting for the brokers: at once, or at [`Self::due`] if the last
    /// commit was a moment ago. A commit costs the broker as much as a transaction, and
    /// where it is missing nothing is lost.
    pub(crate) fn soon(&mut self, consumer: &StreamConsumer<Group>) {
        let next = self.last.map(|last| last + BETWEEN_COMMITS);
        match next.filter(|next| *next > Instant::now()) {
            Some(next) => self.due = Some(next),
            None => self.now(consumer),
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn now(&mut self, consumer: &StreamConsumer<Group>) {
        self.due = None;
        self.last = Some(Instant::now());
        let group = consumer.context();
        let moved = std::mem::take(&mut self.moved);
        let ours = moved.iter().filter(|partition| !group.is_revoked(partition));
        self.send(consumer, ours, CommitMode::Async);
    }

    /// All once more if a commit failed, and the ends of the logs that lie beyond the last
    /// record.
    pub(crate) fn refresh(&mut self, consumer: &StreamConsumer<Group>) {
        let group = consumer.context();
        for (partition, end) in group.take_beyond_markers() {
            if let Some(committed) = self.offsets.get_mut(&partition)
                && committed.next < end
            {
                committed.next = end;
                self.move_on(&partition);
            }
        }
        if group.take_commit_failed() {
            self.moved.extend(self.offsets.keys().cloned());
        }
        if !self.moved.is_empty() {
            self.now(consumer);
        }
    }

    /// Those that are dealt with beyond the record at their floor.
    pub(crate) fn beyond(&self, floors: &BTreeMap<Partition, i64>) -> BTreeMap<Partition, i64> {
        let beyond = floors.iter().filter_map(|(partition, floor)| {
            let next = self.offsets.get(partition)?.next;
            (next > floor + 1).then(|| (partition.clone(), next))
        });
        beyond.collect()
    }

    /// The last commit. Blocks until the brokers have answered.
    pub(crate) fn last(&self, consumer: &StreamConsumer<Group>) {
        let group = consumer.context();
        let ours = self.offsets.keys().filter(|partition| !group.is_revoked(partition));
        self.send(consumer, ours, CommitMode::Sync);
    }

    fn send<'a>(
        &self,
        consumer: &StreamConsumer<Group>,
        partitions: impl Iterator<Item = &'a Partition>,
        mode: CommitMode,
    ) {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let Some(committed) = self.offsets.get(partition) else { continue };
            let mut element = list.add_partition(&partition.topic, partition.partition);
            // Fails only for offsets that no record can have.
            let _ = element.set_offset(Offset::Offset(committed.next));
            if !committed.lost.is_empty() {
                element.set_metadata(committed.lost.to_string());
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.commit(&list, mode) {
            consumer.context().commit_failed(&error);
        }
    }
}

//! Records gathered for one transaction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use chrono::NaiveDateTime;
use shared::event::Domain;

use crate::decode::{Change, Poison, decode};
use crate::plan::{Newest, Offer, Writes};
use crate::record::{Partition, Record};
use crate::tables::ProgressRow;

/// Records in the order they came, and what they amount to so far.
///
/// Of a change that a newer one supersedes only the record is kept: it is decoded again
/// should MySQL refuse the newer one.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    newest: Newest,
    poison: Vec<(usize, Poison)>,
    positions: BTreeMap<Partition, Position>,
    moments: Vec<NaiveDateTime>,
    events: BTreeMap<Domain, u64>,
    stale: u64,
    bytes: usize,
}

/// The last record of a partition in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub offset: i64,
    /// The moment of the newest event.
    pub moment: Option<NaiveDateTime>,
}

impl Position {
    pub fn system_time(&self) -> Option<SystemTime> {
        self.moment.map(|moment| moment.and_utc().into())
    }
}

impl Batch {
    pub fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        let decoded = decode(&record);
        let moment = decoded
            .as_ref()
            .ok()
            .map(|change| change.stamp.event_timestamp);
        let position = self
            .positions
            .entry(record.partition.clone())
            .or_insert(Position {
                offset: record.offset,
                moment: None,
            });
        position.offset = record.offset;
        position.moment = position.moment.max(moment);
        match decoded {
            Ok(change) => self.offer(change),
            Err(poison) => self.poison.push((self.records.len(), poison)),
        }
        self.records.push(record);
    }

    fn offer(&mut self, change: Change) {
        let moment = change.stamp.event_timestamp;
        let domain = change.content.domain();
        match self.newest.offer(change) {
            Offer::Taken => {
                self.moments.push(moment);
                *self.events.entry(domain).or_default() += 1;
            }
            Offer::Stale => self.stale += 1,
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Of the records, as [`Record::bytes`] counts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn positions(&self) -> &BTreeMap<Partition, Position> {
        &self.positions
    }

    /// The moments of the events that count.
    pub fn moments(&self) -> &[NaiveDateTime] {
        &self.moments
    }

    /// Events that another of the same batch made stale.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Records by topic, named as in the contract, without the poisoned and the stale.
    pub fn events_by_topic(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.events
            .iter()
            .map(|(domain, events)| (domain.topic(), *events))
    }

    pub fn plan(&self) -> Writes {
        self.newest.plan()
    }

    pub fn progress(&self) -> Vec<ProgressRow> {
        let row = |(partition, position): (&Partition, &Position)| ProgressRow {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: position.offset,
            event_timestamp: position.moment,
        };
        self.positions.iter().map(row).collect()
    }

    /// Records that can never be applied, each with the reason.
    pub fn poisoned(&self) -> impl Iterator<Item = (&Record, &Poison)> {
        self.poison
            .iter()
            .filter_map(|(index, poison)| Some((self.records.get(*index)?, poison)))
    }

    /// The batch without its poison, cut in two: the earlier and the later half. The
    /// later is empty where there was only one record.
    pub fn halves(self) -> (Self, Self) {
        let poisoned: Vec<_> = self.poison.iter().map(|(index, _)| *index).collect();
        let sound: Vec<_> = (self.records.into_iter().enumerate())
            .filter(|(index, _)| poisoned.binary_search(index).is_err())
            .map(|(_, record)| record)
            .collect();
        let middle = sound.len().div_ceil(2);
        let (mut earlier, mut later) = (Self::default(), Self::default());
        for (index, record) in sound.into_iter().enumerate() {
            let half = if index < middle {
                &mut earlier
            } else {
                &mut later
            };
            half.push(record);
        }
        (earlier, later)
    }

    /// Takes out the records of partitions that now belong to somebody else.
    pub fn without(self, is_lost: impl Fn(&Partition) -> bool) -> Self {
        let mut kept = Self::default();
        for record in self.records {
            if !is_lost(&record.partition) {
                kept.push(record);
            }
        }
        kept
    }
}

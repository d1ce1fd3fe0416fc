//! Records gathered for one transaction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use chrono::NaiveDateTime;
use futures::{Stream, StreamExt, stream};
use shared::event::Domain;

use crate::decode::{Change, decode};
use crate::newest::{Newest, Offer};
use crate::plan::Writes;
use crate::poison::Poison;
use crate::record::{Partition, Record};
use crate::tables::ProgressRow;

/// Records in the order they came, each decoded once to know whether and how it counts.
///
/// Where it has to make room it forgets those that a newer one supersedes: so under a
/// backlog of many events over few entities it grows far beyond its bytes.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    newest: Newest,
    poison: Vec<(usize, Poison)>,
    positions: BTreeMap<Partition, Position>,
    moments: Vec<NaiveDateTime>,
    events: BTreeMap<Domain, u64>,
    stale: u64,
    forgotten: usize,
    bytes: usize,
    superseded_bytes: usize,
}

/// Takes about as long as MySQL takes for a statement's rows.
const DECODED_AT_ONCE: usize = 100;

/// What a batch took of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub domain: Domain,
    /// As [`Record::after`] of its first record.
    pub after: Option<i64>,
    /// Of its first record.
    pub first: i64,
    /// Of its last record.
    pub offset: i64,
    /// The last record's.
    pub event_id: Option<String>,
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
        let moment = decoded.as_ref().ok().map(|change| change.stamp.event_timestamp);
        let Record { offset, after, domain, .. } = record;
        let decoded_id = decoded.as_ref().ok().map(|change| change.stamp.event_id.as_str());
        let event_id = record.event_id(decoded_id);
        match self.positions.get_mut(&record.partition) {
            Some(position) => {
                position.offset = offset;
                position.event_id = event_id.map(str::to_owned);
                position.moment = position.moment.max(moment);
            }
            None => {
                let event_id = event_id.map(str::to_owned);
                let position = Position { domain, after, first: offset, offset, event_id, moment };
                self.positions.insert(record.partition.clone(), position);
            }
        }
        match decoded {
            Ok(change) => self.offer(&change, record.bytes()),
            Err(poison) => self.poison.push((self.records.len(), poison)),
        }
        self.records.push(record);
    }

    fn offer(&mut self, change: &Change, bytes: usize) {
        match self.newest.offer(change, self.records.len()) {
            Offer::Taken => {}
            Offer::Superseding(place) => {
                self.superseded_bytes += self.records.get(place).map_or(0, Record::bytes);
            }
            Offer::Stale => {
                self.stale += 1;
                self.superseded_bytes += bytes;
                return;
            }
        }
        self.moments.push(change.stamp.event_timestamp);
        *self.events.entry(change.content.domain()).or_default() += 1;
    }

    /// Forgets what is superseded, if that takes a good part of `limit` bytes.
    pub fn make_room(&mut self, limit: usize) {
        if self.superseded_bytes < limit / 4 {
            return;
        }
        let poisoned = self.poison.iter().map(|(place, _)| *place);
        let mut kept: Vec<_> = self.newest.places().chain(poisoned).collect();
        kept.sort_unstable();
        let now_at = |place: usize| kept.partition_point(|kept| *kept < place);
        self.newest.relocate(now_at);
        for (place, _) in &mut self.poison {
            *place = now_at(*place);
        }
        self.forgotten += self.records.len() - kept.len();
        let mut place = 0..;
        self.records
            .retain(|_| place.next().is_some_and(|place| kept.binary_search(&place).is_ok()));
        self.bytes -= std::mem::take(&mut self.superseded_bytes);
    }

    /// Of records taken, those included that it has forgotten.
    pub fn len(&self) -> usize {
        self.records.len() + self.forgotten
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it still holds every record that it took.
    pub fn is_whole(&self) -> bool {
        self.forgotten == 0
    }

    /// Of the records that it holds, as [`Record::bytes`] counts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those that it holds.
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
        self.events.iter().map(|(domain, events)| (domain.topic(), *events))
    }

    /// What the newest changes amount to, in portions that are to be written one after
    /// the other, in one transaction. The records are decoded once more, which costs a
    /// fraction of the memory that keeping all documents would; a few at a time, so that
    /// whoever waits for MySQL can have the next portion made meanwhile.
    pub fn writes(&self) -> impl Stream<Item = Writes> + Send {
        stream::iter(self.newest.portions()).then(|places| self.plan(places))
    }

    async fn plan(&self, places: Vec<usize>) -> Writes {
        let mut changes = Vec::with_capacity(places.len());
        for (turn, few) in places.chunks(DECODED_AT_ONCE).enumerate() {
            if turn > 0 {
                tokio::task::yield_now().await;
            }
            let records = few.iter().filter_map(|place| self.records.get(*place));
            changes.extend(records.filter_map(|record| decode(record).ok()));
        }
        Writes::of(changes)
    }

    pub fn progress(&self) -> Vec<ProgressRow> {
        let row = |(partition, position): (&Partition, &Position)| ProgressRow {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: position.offset,
            event_timestamp: position.moment,
            event_id: position.event_id.clone(),
            next_offset: Some(position.offset + 1),
        };
        self.positions.iter().map(row).collect()
    }

    /// Records that can never be applied, each with the reason.
    pub fn poisoned(&self) -> impl Iterator<Item = (&Record, &Poison)> {
        self.poison.iter().filter_map(|(index, poison)| Some((self.records.get(*index)?, poison)))
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
            let half = if index < middle { &mut earlier } else { &mut later };
            half.push(record);
        }
        (earlier, later)
    }

    /// Takes out the records of partitions that now belong to somebody else.
    ///
    /// What it has forgotten of the others needs no return: whoever holds the event
    /// that superseded it will apply that one.
    pub fn without(self, is_lost: impl Fn(&Partition) -> bool) -> Self {
        let mut kept = Self { forgotten: self.forgotten, ..Self::default() };
        for record in self.records {
            if !is_lost(&record.partition) {
                kept.push(record);
            }
        }
        let positions = self.positions.into_iter().filter(|(partition, _)| !is_lost(partition));
        kept.positions = positions.collect();
        if kept.positions.is_empty() { Self::default() } else { kept }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;
    use crate::record::sample::{Sample, ids};

    fn batch(records: Vec<Record>) -> Batch {
        let mut batch = Batch::default();
        for (offset, mut record) in (0..).zip(records) {
            record.offset = offset;
            batch.push(record);
        }
        batch
    }

    /// Its first portion.
    fn writes(batch: &Batch) -> Writes {
        let first = pin!(batch.writes()).next().now_or_never();
        first.expect("few records are planned at once").unwrap()
    }

    fn offsets(batch: &Batch) -> Vec<i64> {
        batch.records().iter().map(|record| record.offset).collect()
    }

    #[test]
    fn halves_hold_every_sound_record_once_and_in_order() {
        let [id, other, ..] = ids();
        let mut broken = Sample::user(id, 9).record();
        broken.value = None;
        let records = vec![
            Sample::user(id, 1).record(),
            broken,
            Sample::user(id, 2).record(),
            Sample::user(other, 1).record(),
        ];
        let whole = batch(records);
        assert_eq!(whole.poisoned().map(|(record, _)| record.offset).collect::<Vec<_>>(), [1]);
        let (earlier, later) = whole.halves();
        assert_eq!((offsets(&earlier), offsets(&later)), (vec![0, 2], vec![3]));
        // What a newer event of the same batch superseded counts again on its own.
        let (first, second) = earlier.halves();
        assert_eq!(writes(&first).users[0].version, 1);
        assert_eq!(writes(&second).users[0].version, 2);
        let (only, none) = second.halves();
        assert_eq!((offsets(&only), offsets(&none)), (vec![2], vec![]));
    }

    #[test]
    fn progress_is_that_of_the_last_record_poison_included() {
        let [id, ..] = ids();
        let mut broken = Sample::user(id, 9).record();
        broken.value = None;
        let batch = batch(vec![Sample::user(id, 2).record(), Sample::user(id, 1).record(), broken]);
        let [progress] = &batch.progress()[..] else { panic!("one partition") };
        assert_eq!(progress.offset, 2);
        assert_eq!(progress.event_timestamp, Some(batch.moments()[0]), "the newest event's");
        assert_eq!(batch.stale(), 1);
        assert_eq!(batch.events_by_topic().collect::<Vec<_>>(), [("user", 1)]);
    }

    #[test]
    fn room_is_made_by_forgetting_what_is_superseded() {
        let [id, other, ..] = ids();
        let mut broken = Sample::user(id, 9).record();
        broken.value = None;
        let records = [(id, 1), (id, 2), (other, 1), (id, 4), (id, 3)];
        let records = records.map(|(id, version)| Sample::user(id, version).record());
        let mut batch = batch([vec![broken], records.to_vec()].concat());
        let (planned, progress) = (writes(&batch), batch.progress());
        let before = batch.bytes();
        batch.make_room(4 * before);
        assert!(batch.is_whole() && batch.bytes() == before, "it was not worth while");
        batch.make_room(before);
        assert_eq!(offsets(&batch), [0, 3, 4], "the poison and the newest");
        assert!(batch.bytes() < before * 2 / 3 && !batch.is_whole());
        assert_eq!((batch.len(), batch.stale(), batch.moments().len()), (6, 1, 4));
        assert_eq!(writes(&batch), planned);
        assert_eq!(batch.progress(), progress);
        assert_eq!(batch.poisoned().map(|(record, _)| record.offset).collect::<Vec<_>>(), [0]);
        batch.push(Sample::user(other, 2).record());
        assert_eq!(writes(&batch).users[0].version, 2, "in the order of ids");
        assert_eq!(writes(&batch).users[1].version, 4);
        let bytes: usize = batch.records().iter().map(Record::bytes).sum();
        assert_eq!(batch.bytes(), bytes);
    }

    #[test]
    fn a_partition_that_was_lost_is_dropped_whole() {
        let [id, other, ..] = ids();
        let mut elsewhere = Sample::user(other, 1).record();
        elsewhere.partition.partition = 1;
        let batch =
            batch(vec![Sample::user(id, 1).record(), elsewhere, Sample::user(id, 2).record()]);
        let kept = batch.without(|partition| partition.partition == 0);
        assert_eq!(kept.progress().len(), 1);
        assert_eq!(offsets(&kept), [1]);
        assert_eq!(writes(&kept).users.len(), 1);
    }
}

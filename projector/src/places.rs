//! The partitions that are ours, and how far each of them is known.

use std::collections::BTreeMap;

use crate::positions::Start;
use crate::record::{Partition, Record};

/// Every partition of the assignment.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: BTreeMap<Partition, Place>,
    assignments: u64,
}

#[derive(Debug)]
enum Place {
    /// Not read yet: MySQL and Kafka are being asked where to begin.
    Locating(Wanted),
    /// The first record must be this event, at this offset.
    Verifying {
        offset: i64,
        event_id: String,
        reading: Reading,
    },
    Reading(Reading),
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The offset of the last record taken, and of the last one known to be in MySQL.
    taken: Option<i64>,
    applied: Option<i64>,
    /// The group had committed this offset: a record before it is read once more.
    committed: Option<i64>,
}

/// A question: where does this partition begin?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Tells an answer that comes late from one to a later question.
    assignment: u64,
    /// MySQL's row at this offset is known to speak of another log.
    pub(crate) foreign: Option<i64>,
}

/// What becomes of a record.
pub(crate) enum Admission {
    Taken(Record),
    /// It was applied before, or its partition is not to be read yet.
    Skipped,
    /// As `Taken`, and the group was beyond it: MySQL went back in time.
    Again(Record, i64),
    /// The topic is another one than MySQL knows: the partition has to be located anew.
    Foreign(Partition),
}

impl Places {
    /// To be located, whatever was known of it.
    pub(crate) fn insert(&mut self, partition: Partition, foreign: Option<i64>) {
        self.assignments += 1;
        let wanted = Wanted { assignment: self.assignments, foreign };
        self.places.insert(partition, Place::Locating(wanted));
    }

    pub(crate) fn remove(&mut self, partition: &Partition) {
        self.places.remove(partition);
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) -> Vec<Partition> {
        std::mem::take(&mut self.places).into_keys().collect()
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.places.keys()
    }

    pub(crate) fn wanted(&self) -> BTreeMap<Partition, Wanted> {
        let wanted = self.places.iter().filter_map(|(partition, place)| match place {
            Place::Locating(wanted) => Some((partition.clone(), wanted.clone())),
            _ => None,
        });
        wanted.collect()
    }

    /// Whether `answer` to `question` is still asked for. If so, reading may begin.
    pub(crate) fn locate(
        &mut self,
        partition: &Partition,
        question: &Wanted,
        start: &Start,
        committed: Option<i64>,
    ) -> bool {
        let Some(place) = self.places.get_mut(partition) else { return false };
        if !matches!(place, Place::Locating(wanted) if wanted == question) {
            return false;
        }
        let reading = Reading { taken: start.after, applied: start.after, committed };
        *place = match &start.expected {
            Some(event_id) => {
                Place::Verifying { offset: start.at, event_id: event_id.clone(), reading }
            }
            None => Place::Reading(reading),
        };
        true
    }

    pub(crate) fn admit(&mut self, mut record: Record) -> Admission {
        let Some(place) = self.places.get_mut(&record.partition) else {
            return Admission::Skipped;
        };
        match place {
            Place::Locating(_) => Admission::Skipped,
            Place::Verifying { offset, event_id, reading } => {
                let is_it = record.offset == *offset && record.is_event(event_id);
                let offset = *offset;
                if is_it {
                    *place = Place::Reading(*reading);
                    return Admission::Skipped;
                }
                self.insert(record.partition.clone(), Some(offset));
                Admission::Foreign(record.partition)
            }
            Place::Reading(reading) => {
                record.after = reading.taken.replace(record.offset);
                match reading.committed.take_if(|committed| record.offset < *committed) {
                    Some(committed) => Admission::Again(record, committed),
                    None => Admission::Taken(record),
                }
            }
        }
    }

    pub(crate) fn applied(&mut self, partition: &Partition, offset: i64) {
        if let Some(Place::Reading(reading)) = self.places.get_mut(partition) {
            reading.applied = Some(offset);
        }
    }

    /// What MySQL must at least show of each partition that is being read.
    pub(crate) fn floors(&self) -> BTreeMap<Partition, i64> {
        let floors = self.places.iter().filter_map(|(partition, place)| match place {
            Place::Reading(reading) | Place::Verifying { reading, .. } => {
                Some((partition.clone(), reading.applied?))
            }
            Place::Locating(_) => None,
        });
        floors.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{Sample, ids};

    fn record(offset: i64) -> Record {
        Record { offset, ..Sample::user(ids()[0], 1).record() }
    }

    fn start(expected: Option<&str>) -> Start {
        Start {
            at: 7,
            expected: expected.map(str::to_owned),
            after: Some(7),
            next: 8,
            lost: 8..8,
            is_another_log: false,
        }
    }

    fn located(expected: Option<&str>, committed: i64) -> Places {
        let mut places = Places::default();
        let partition = record(0).partition;
        places.insert(partition.clone(), None);
        let wanted = places.wanted();
        assert!(matches!(places.admit(record(3)), Admission::Skipped), "not located yet");
        assert!(places.locate(&partition, &wanted[&partition], &start(expected), Some(committed)));
        places
    }

    #[test]
    fn a_late_answer_to_an_earlier_question_does_not_count() {
        let mut places = Places::default();
        let partition = record(0).partition;
        places.insert(partition.clone(), None);
        let early = places.wanted()[&partition].clone();
        places.insert(partition.clone(), None);
        assert!(!places.locate(&partition, &early, &start(None), None));
        places.remove(&partition);
        assert!(!places.locate(&partition, &early, &start(None), None));
    }

    #[test]
    fn the_event_that_mysql_names_is_skipped_and_what_follows_is_taken() {
        let id = format!("event-{}", ids()[0]);
        let mut places = located(Some(&id), 8);
        assert_eq!(places.floors().into_values().collect::<Vec<_>>(), [7]);
        assert!(matches!(places.admit(record(7)), Admission::Skipped));
        for (offset, after) in [(8, 7), (10, 8)] {
            let Admission::Taken(record) = places.admit(record(offset)) else { panic!("taken") };
            assert_eq!(record.after, Some(after));
        }
    }

    #[test]
    fn another_event_there_is_another_log() {
        for (offset, expected) in [(7, "another"), (8, "event")] {
            let mut places = located(Some(expected), 8);
            assert!(matches!(places.admit(record(offset)), Admission::Foreign(_)));
            assert_eq!(places.wanted().into_values().next().unwrap().foreign, Some(7));
        }
    }

    #[test]
    fn it_is_noticed_once_that_the_group_was_further() {
        let mut places = located(None, 20);
        assert!(matches!(places.admit(record(8)), Admission::Again(_, 20)));
        assert!(matches!(places.admit(record(9)), Admission::Taken(_)));
        let mut places = located(None, 20);
        assert!(matches!(places.admit(record(20)), Admission::Taken(_)), "markers lay between");
    }
}

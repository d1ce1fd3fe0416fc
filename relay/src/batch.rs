//! What goes into one Kafka transaction. Pure.

use bson::{RawDocument, RawDocumentBuf};
use shared::outbox::{BrokenRecord, StoredRecord};

use crate::change::Change;

/// An outbox record on its way, in the bytes MongoDB sent.
#[derive(Debug, Clone)]
pub enum Event {
    /// A change event of an insert: the record is its `fullDocument`.
    Streamed(Change),
    /// A record read from the collection itself.
    Swept(RawDocumentBuf),
}

impl Event {
    /// The outbox record, as stored.
    pub fn document(&self) -> &RawDocument {
        match self {
            Self::Streamed(change) => change.record(),
            Self::Swept(document) => document,
        }
    }

    /// # Errors
    /// [`BrokenRecord`], naming the first field that is missing or mistyped.
    pub fn record(&self) -> Result<StoredRecord<'_>, BrokenRecord> {
        StoredRecord::parse(self.document())
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Streamed(change) => change.bytes(),
            Self::Swept(record) => record.as_bytes().len(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
}

/// Events in the order in which they will be published. Full as soon as one more
/// event might exceed a limit; a single event may exceed the bytes alone.
#[derive(Debug)]
pub struct Batch {
    events: Vec<Event>,
    bytes: usize,
    limits: Limits,
}

impl Batch {
    pub fn new(limits: Limits) -> Self {
        Self { events: Vec::new(), bytes: 0, limits }
    }

    pub fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push(event);
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.events.len() >= self.limits.events || self.bytes >= self.limits.bytes
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn last(&self) -> Option<&Event> {
        self.events.last()
    }

    /// What was gathered; an empty batch remains.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.limits))
    }

    /// Two halves in order, to find the one event that Kafka refuses.
    pub fn split(mut self) -> (Self, Self) {
        let mut second = Self::new(self.limits);
        for event in self.events.split_off(self.events.len() / 2) {
            second.push(event);
        }
        self.bytes -= second.bytes;
        (self, second)
    }

    /// Leaves out the events for which `keep` says no.
    pub fn retain(&mut self, keep: impl FnMut(&Event) -> bool) {
        self.events.retain(keep);
        self.bytes = self.events.iter().map(Event::bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn event(number: i32, bytes: usize) -> Event {
        Event::Swept(rawdoc! { "n": number, "filler": "x".repeat(bytes) })
    }

    fn numbers(batch: &Batch) -> Vec<i32> {
        let number = |event: &Event| event.document().get_i32("n").unwrap();
        batch.events().iter().map(number).collect()
    }

    fn filled(count: i32) -> Batch {
        let mut batch = Batch::new(Limits { events: 1000, bytes: 1 << 20 });
        for number in 0..count {
            batch.push(event(number, 10));
        }
        batch
    }

    #[test]
    fn is_full_by_count_or_by_bytes() {
        let mut batch = Batch::new(Limits { events: 2, bytes: 1000 });
        assert!(batch.is_empty() && !batch.is_full());
        batch.push(event(0, 1));
        assert!(!batch.is_full());
        batch.push(event(1, 1));
        assert!(batch.is_full(), "two events");
        assert_eq!(numbers(&batch.take()), [0, 1]);
        assert!(batch.is_empty() && !batch.is_full(), "taken");
        batch.push(event(2, 2000));
        assert!(batch.is_full(), "2,000 bytes");
    }

    #[test]
    fn halves_keep_order_and_bytes() {
        let batch = filled(7);
        let bytes = batch.bytes;
        let (first, second) = batch.split();
        assert_eq!(numbers(&first), [0, 1, 2]);
        assert_eq!(numbers(&second), [3, 4, 5, 6]);
        assert_eq!(first.bytes + second.bytes, bytes);
    }

    #[test]
    fn what_is_left_out_no_longer_counts() {
        let mut batch = filled(3);
        batch.retain(|event| event.document().get_i32("n").unwrap() != 1);
        assert_eq!(numbers(&batch), [0, 2]);
        assert_eq!(batch.bytes, batch.events.iter().map(Event::bytes).sum::<usize>());
    }

    #[test]
    fn a_change_event_without_a_document_is_broken_and_not_fatal() {
        assert!(Event::Streamed(rawdoc! { "operationType": "insert" }.into()).record().is_err());
    }
}

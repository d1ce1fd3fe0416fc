//! Where reading a partition begins, decided from what MySQL and Kafka say of it. MySQL is
//! believed: what the consumer group has committed only helps to tell what happened.

use std::ops::Range;

use crate::tables::ProgressRow;

/// What Kafka holds of a partition for a `read_committed` reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The offset of the first record that is still there.
    pub(crate) first: i64,
    pub(crate) end: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// Where reading begins.
    pub(crate) at: i64,
    /// The event that the record at [`Self::at`] must be. It is applied already; another one
    /// there means that the topic was deleted and created again.
    pub(crate) expected: Option<String>,
    /// What MySQL shows: see [`crate::record::Record::after`].
    pub(crate) after: Option<i64>,
    /// All before it is dealt with.
    pub(crate) next: i64,
    /// Deleted by Kafka before we had read it. Empty, as a rule.
    pub(crate) lost: Range<i64>,
    /// MySQL's row speaks of a log that is no longer there: it has to go.
    pub(crate) is_another_log: bool,
}

/// `known`: MySQL's row. `committed`: by the group.
pub(crate) fn start(known: Option<&ProgressRow>, committed: Option<i64>, bounds: Bounds) -> Start {
    let Some(known) = known else {
        return from_the_beginning(bounds);
    };
    let next = known.next_offset.unwrap_or_else(|| {
        // A row of an older release: only the group knows what lay behind the record.
        committed.unwrap_or_default().max(known.offset + 1)
    });
    if next > bounds.end {
        return Start { is_another_log: true, ..from_the_beginning(bounds) };
    }
    let is_there = known.offset >= bounds.first;
    let expected = known.event_id.clone().filter(|_| is_there);
    let at = if expected.is_some() { known.offset } else { (known.offset + 1).max(bounds.first) };
    let lost = next..bounds.first.max(next);
    // What is lost goes into the row, and behind it the row says where it ended.
    let next = next.max(bounds.first);
    Start { at, expected, after: Some(known.offset), next, lost, is_another_log: false }
}

/// To apply again what is applied already changes nothing: the rows are guarded by versions.
fn from_the_beginning(Bounds { first, .. }: Bounds) -> Start {
    let lost = 0..first;
    let after = (!lost.is_empty()).then_some(first - 1);
    Start { at: first, expected: None, after, next: first, lost, is_another_log: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: i64, next_offset: Option<i64>) -> ProgressRow {
        ProgressRow {
            topic: "user".to_owned(),
            partition: 0,
            offset,
            event_timestamp: None,
            event_id: Some("e".to_owned()),
            next_offset,
        }
    }

    fn bounds(first: i64, end: i64) -> Bounds {
        Bounds { first, end }
    }

    #[test]
    fn it_reads_on_at_the_record_that_mysql_names() {
        for committed in [None, Some(10), Some(90)] {
            let start = start(Some(&row(40, Some(42))), committed, bounds(0, 100));
            assert_eq!((start.at, start.after, start.next), (40, Some(40), 42));
            assert_eq!(start.expected.as_deref(), Some("e"));
            assert!(start.lost.is_empty() && !start.is_another_log);
        }
        let nameless = ProgressRow { event_id: None, ..row(40, Some(42)) };
        assert_eq!(start(Some(&nameless), None, bounds(0, 100)).at, 41);
    }

    #[test]
    fn an_empty_mysql_is_filled_from_the_beginning() {
        let start = start(None, Some(90), bounds(0, 100));
        assert_eq!((start.at, start.after, start.next), (0, None, 0));
        assert!(start.expected.is_none() && start.lost.is_empty());
    }

    #[test]
    fn what_was_deleted_unread_is_lost() {
        let known = start(Some(&row(40, Some(42))), Some(42), bounds(60, 100));
        assert_eq!((known.at, known.lost, known.next), (60, 42..60, 60));
        assert_eq!(known.expected, None, "the record that could tell is gone, too");
        let unknown = start(None, None, bounds(60, 100));
        assert_eq!((unknown.at, unknown.lost, unknown.after), (60, 0..60, Some(59)));
    }

    #[test]
    fn a_marker_behind_the_last_record_is_no_loss() {
        assert!(start(Some(&row(40, Some(42))), None, bounds(42, 42)).lost.is_empty());
        assert!(start(Some(&row(40, None)), Some(42), bounds(42, 42)).lost.is_empty());
        assert_eq!(start(Some(&row(40, None)), None, bounds(42, 42)).lost, 41..42);
    }

    #[test]
    fn a_log_that_ends_too_early_is_another_one() {
        let start = start(Some(&row(40, Some(42))), Some(42), bounds(0, 10));
        assert_eq!((start.at, start.after, start.is_another_log), (0, None, true));
    }
}

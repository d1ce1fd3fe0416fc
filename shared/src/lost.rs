//! Records that Kafka deleted before the projector had read them, as the projector says it
//! with each offset that it commits: in the commit's metadata, as `lost=120-140,200-210`.
//!
//! Who asks whether an event is applied reads both: the offset says that the projector is
//! past it, the ranges say that it was never read.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

const PREFIX: &str = "lost=";

/// Metadata must stay small: brokers refuse more than 4 KiB by default.
pub const MOST_RANGES: usize = 8;

/// Ranges of offsets of one partition, half-open, the most recently noticed last. It holds
/// the last [`MOST_RANGES`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostRanges(Vec<Range<i64>>);

impl LostRanges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the record at `offset` was lost.
    pub fn contains(&self, offset: i64) -> bool {
        self.0.iter().any(|range| range.contains(&offset))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Range<i64>> {
        self.0.iter()
    }

    /// Parses the metadata of a committed offset. Metadata that somebody else wrote names no
    /// lost record.
    pub fn from_metadata(metadata: &str) -> Self {
        metadata.parse().unwrap_or_default()
    }
}

impl FromIterator<Range<i64>> for LostRanges {
    fn from_iter<I: IntoIterator<Item = Range<i64>>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.drain(..ranges.len().saturating_sub(MOST_RANGES));
        Self(ranges)
    }
}

/// Empty if nothing was lost.
impl fmt::Display for LostRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { PREFIX } else { "," })?;
            write!(f, "{}-{}", range.start, range.end)?;
        }
        Ok(())
    }
}

/// The text is not of the form `lost=120-140,200-210`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a list of lost ranges")]
pub struct NotLostRanges;

impl FromStr for LostRanges {
    type Err = NotLostRanges;

    fn from_str(text: &str) -> Result<Self, NotLostRanges> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let ranges = text.strip_prefix(PREFIX).ok_or(NotLostRanges)?;
        let range = |range: &str| {
            let (start, end) = range.split_once('-')?;
            Some(start.parse().ok()?..end.parse().ok()?)
        };
        ranges.split(',').map(|text| range(text).ok_or(NotLostRanges)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_metadata_of_a_commit() {
        let lost: LostRanges = [120..140, 200..210].into_iter().collect();
        assert_eq!(lost.to_string(), "lost=120-140,200-210");
        assert_eq!(LostRanges::from_metadata(&lost.to_string()), lost);
        assert_eq!([119, 120, 139, 140, 205].map(|offset| lost.contains(offset)), {
            [false, true, true, false, true]
        });
        assert_eq!(LostRanges::default().to_string(), "");
        assert_eq!(LostRanges::from_metadata(""), LostRanges::default());
    }

    #[test]
    fn the_most_recent_ranges_are_kept() {
        let lost: LostRanges = (0..20).map(|n| n * 10..n * 10 + 5).collect();
        assert_eq!(lost.iter().count(), MOST_RANGES);
        assert!(lost.contains(190) && !lost.contains(110));
    }

    #[test]
    fn what_somebody_else_wrote_names_no_lost_record() {
        for metadata in ["lost=", "lost=1-x", "consumer-1", "lost=1-2,", "1-2"] {
            assert_eq!(metadata.parse::<LostRanges>(), Err(NotLostRanges), "{metadata}");
            assert!(LostRanges::from_metadata(metadata).is_empty());
        }
    }
}

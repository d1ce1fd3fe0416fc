use std::fmt;
use std::str::FromStr;

use bson::{Document, doc};

/// The part of the outbox that one relay publishes: those entities whose id falls
/// on `index` of `count`. One relay alone is shard 0 of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Each shard has a partition of the checkpoint topic of its own, and those are
    /// laid down once.
    pub const MAX: u32 = 16;

    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Matches the records of this shard; `entity_id` is the name of the field.
    ///
    /// An entity falls on a shard by the last digit of its id, the lowest of a counter.
    /// Ids of another form (in broken records) fall on the first shard: a filter that
    /// computed with them could fail, and the change stream with it.
    pub fn filter(self, entity_id: &str) -> Document {
        if self.count == 1 {
            return doc! {};
        }
        let ends_with = |keep: &dyn Fn(u32) -> bool| {
            let digits = (0..16).filter(|digit| keep(*digit));
            let digits: String = digits.filter_map(|digit| char::from_digit(digit, 16)).collect();
            doc! { "$regex": format!("^.{{23}}[{digits}]$") }
        };
        let index = self.index;
        let shard_of = |digit: u32| digit % self.count;
        if index == 0 {
            doc! { entity_id: { "$not": ends_with(&|digit| shard_of(digit) != 0) } }
        } else {
            doc! { entity_id: ends_with(&|digit| shard_of(digit) == index) }
        }
    }

    pub fn index(self) -> u32 {
        self.index
    }

    pub fn count(self) -> u32 {
        self.count
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The text is not `i/n` with i < n <= 16.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected i/n with 0 <= i < n <= {}", Shard::MAX)]
pub struct InvalidShard;

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let (index, count) = text.split_once('/').ok_or(InvalidShard)?;
        let index = index.parse().map_err(|_| InvalidShard)?;
        let count = count.parse().map_err(|_| InvalidShard)?;
        if index < count && count <= Self::MAX {
            Ok(Self { index, count })
        } else {
            Err(InvalidShard)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_of_at_most_sixteen() {
        assert_eq!("0/1".parse::<Shard>().unwrap(), Shard::WHOLE);
        assert_eq!("3/16".parse::<Shard>().unwrap().to_string(), "3/16");
        for text in ["", "1", "1/1", "0/0", "2/17", "-1/2", "a/b", "0/1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?} was taken for a shard");
        }
    }
}

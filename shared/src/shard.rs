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

    /// Whether this shard publishes the events of the entity: what [`Shard::filter`]
    /// matches.
    pub fn owns(self, entity_id: &str) -> bool {
        let last = match entity_id.char_indices().nth(23) {
            Some((at, last)) if at + last.len_utf8() == entity_id.len() => last,
            _ => return self.index == 0,
        };
        // The filter knows lower-case digits only, as our ids are written.
        let digit = last.to_digit(16).filter(|_| !last.is_ascii_uppercase());
        digit.unwrap_or(0) % self.count == self.index
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
    fn each_entity_has_one_owner_the_one_that_the_filter_names() {
        for count in 1..=Shard::MAX {
            let shards: Vec<_> = (0..count).map(|index| Shard { index, count }).collect();
            for digit in "0123456789abcdef".chars() {
                let id = format!("65a1b2c3d4e5f6071829304{digit}");
                let owners: Vec<_> = shards.iter().filter(|shard| shard.owns(&id)).collect();
                let [owner] = owners[..] else { panic!("{id} of {count}: {owners:?}") };
                let filter = owner.filter("entity_id").to_string();
                let class = filter.rsplit_once('[').map(|it| it.1.split_once(']').unwrap().0);
                // The first shard's filter lists what is not its own.
                let listed = class.is_none_or(|class| class.contains(digit) == (owner.index > 0));
                assert!(listed, "{id} of {count}: {filter}");
            }
            for odd in ["", "1", "65a1b2c3d4e5f6071829304é", "65A1B2C3D4E5F6071829304F0"] {
                assert!(shards[0].owns(odd) && !shards[1..].iter().any(|it| it.owns(odd)));
            }
        }
    }

    #[test]
    fn is_one_of_at_most_sixteen() {
        assert_eq!("0/1".parse::<Shard>().unwrap(), Shard::WHOLE);
        assert_eq!("3/16".parse::<Shard>().unwrap().to_string(), "3/16");
        for text in ["", "1", "1/1", "0/0", "2/17", "-1/2", "a/b", "0/1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?} was taken for a shard");
        }
    }
}

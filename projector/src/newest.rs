//! Of each entity only the newest change of a batch counts. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use shared::Id;
use shared::event::Domain;

use crate::decode::{Change, Content};
use crate::tables::Rank;

/// Which change of each entity is the newest so far, by its place in the batch.
///
/// A document and a statement without one (a deletion, an older cancellation) are kept
/// apart: where the row stays, it shows the newest document under the newest statement.
///
/// Only ranks are kept: of a large batch the documents together would take several
/// times the memory of the records.
#[derive(Debug, Default)]
pub struct Newest(HashMap<(Domain, Id, Kind), (Rank, usize)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Statement,
    Document,
}

/// What became of a change that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Taken,
    /// Taken as well, and the one at this place counts no longer.
    Superseding(usize),
    /// It does not outrank what is here already: it came twice, or late.
    Stale,
}

impl Newest {
    pub fn offer(&mut self, change: &Change, place: usize) -> Offer {
        let kind = match change.content {
            Content::Deleted(_) | Content::OrderCancelled => Kind::Statement,
            _ => Kind::Document,
        };
        let key = (change.content.domain(), change.entity, kind);
        match self.0.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert((change.rank(), place));
                Offer::Taken
            }
            Entry::Occupied(mut present) if change.rank().outranks(present.get().0) => {
                let (_, superseded) = present.insert((change.rank(), place));
                Offer::Superseding(superseded)
            }
            Entry::Occupied(_) => Offer::Stale,
        }
    }

    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.0.values().map(|(_, place)| *place)
    }

    /// The records have moved to other places.
    pub fn relocate(&mut self, now_at: impl Fn(usize) -> usize) {
        for (_, place) in self.0.values_mut() {
            *place = now_at(*place);
        }
    }

    /// Where they are, in portions that are to be written one after the other: statements
    /// first, then documents, parents before children, by id.
    pub fn portions(&self) -> Vec<Vec<usize>> {
        let mut newest: Vec<_> = self.0.iter().collect();
        newest.sort_unstable_by_key(|((domain, id, kind), _)| (*kind, turn(*domain), *id));
        let places: Vec<_> = newest.into_iter().map(|(_, (_, place))| *place).collect();
        places.chunks(CHANGES_A_PORTION).map(<[_]>::to_vec).collect()
    }
}

/// So many documents, and as many again, are in memory as such at a time.
const CHANGES_A_PORTION: usize = 500;

/// The order in which the tables are written, by every projector.
fn turn(domain: Domain) -> u8 {
    match domain {
        Domain::Supplier => 0,
        Domain::Product => 1,
        Domain::User => 2,
        Domain::Order => 3,
        Domain::Post => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::record::sample::{Sample, ids};

    #[test]
    fn statements_go_first_and_parents_before_children() {
        let [id, other, ..] = ids();
        let mut newest = Newest::default();
        let domains = [Domain::Post, Domain::Product, Domain::Order, Domain::Supplier];
        let change = decode(&Sample::deletion(id, 3).record()).unwrap();
        for (place, domain) in domains.into_iter().enumerate() {
            let key = (domain, other, Kind::Document);
            newest.0.insert(key, (change.rank(), place));
        }
        newest.offer(&change, 4);
        assert_eq!(newest.portions(), [[4, 3, 1, 2, 0]]);
    }
}

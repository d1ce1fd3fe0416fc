//! Which of the waiting writes can share a transaction. Pure.
//!
//! Two writes exclude each other where one would spoil the other's precondition:
//! they change the same document, or claim the same unique value. The later one
//! waits for the next group, where its precondition is judged by what the earlier
//! one left. So no entity has two events in one transaction, and the order of its
//! events in the change stream is the order of its versions.

use std::collections::{HashMap, VecDeque};

use shared::Id;
use shared::event::Domain;

use super::Constraint;

/// What a write lays its hands on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    Document(Domain, Id),
    Unique(Constraint, String),
    /// A supplier's `product_ids`.
    ProductList(Id),
}

/// Whether others may have it in the same transaction. In another one, at the same time,
/// nobody may: the server would see a write conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Exclusive,
    /// For what commutes: products added to one supplier's list.
    Shared,
}

/// The resources of the writes that are under way.
#[derive(Debug, Default)]
pub struct Held(HashMap<Resource, (Hold, usize)>);

impl Held {
    fn touches(&self, wanted: &[(Resource, Hold)]) -> bool {
        wanted.iter().any(|(resource, _)| self.0.contains_key(resource))
    }

    fn allows(&self, wanted: &[(Resource, Hold)]) -> bool {
        wanted.iter().all(|(resource, hold)| match self.0.get(resource) {
            None => true,
            Some((held, _)) => (*held, *hold) == (Hold::Shared, Hold::Shared),
        })
    }

    fn take(&mut self, wanted: &[(Resource, Hold)]) {
        for (resource, hold) in wanted {
            self.0.entry(resource.clone()).or_insert((*hold, 0)).1 += 1;
        }
    }

    pub fn release(&mut self, held: &[(Resource, Hold)]) {
        for (resource, _) in held {
            if let Some((_, count)) = self.0.get_mut(resource) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(resource);
                }
            }
        }
    }
}

/// How much may go into one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub writes: usize,
    pub bytes: usize,
}

/// What the decision needs to know of a waiting write.
pub trait Waiting {
    fn resources(&self) -> &[(Resource, Hold)];
    fn bytes(&self) -> usize;
}

/// Takes from `waiting`, oldest first, what may go together now, beside the transactions
/// that hold `held`; the rest keeps its order. A write larger than the limit goes alone.
pub fn admit<W: Waiting>(waiting: &mut VecDeque<W>, held: &mut Held, limits: Limits) -> Vec<W> {
    let mut group = Vec::new();
    let mut of_group = Held::default();
    let mut bytes = 0;
    let mut passed_over = VecDeque::new();
    while let Some(write) = waiting.pop_front() {
        let fits = group.is_empty() || bytes + write.bytes() <= limits.bytes;
        if !fits || group.len() == limits.writes {
            waiting.push_front(write);
            break;
        }
        let resources = write.resources();
        if !held.touches(resources) && of_group.allows(resources) {
            of_group.take(resources);
            bytes += write.bytes();
            group.push(write);
        } else {
            passed_over.push_back(write);
        }
    }
    while let Some(write) = passed_over.pop_back() {
        waiting.push_front(write);
    }
    for write in &group {
        held.take(write.resources());
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Write(u32, Vec<(Resource, Hold)>);

    impl Waiting for Write {
        fn resources(&self) -> &[(Resource, Hold)] {
            &self.1
        }

        fn bytes(&self) -> usize {
            100
        }
    }

    const LIMITS: Limits = Limits { writes: 32, bytes: 1000 };

    fn email(text: &str) -> (Resource, Hold) {
        (Resource::Unique(Constraint::UserEmail, text.to_owned()), Hold::Exclusive)
    }

    fn numbers(writes: impl IntoIterator<Item = Write>) -> Vec<u32> {
        writes.into_iter().map(|write| write.0).collect()
    }

    #[test]
    fn writes_that_exclude_each_other_go_one_after_the_other() {
        let mut waiting = VecDeque::from([
            Write(1, vec![email("a")]),
            Write(2, vec![email("a")]),
            Write(3, vec![email("b")]),
            Write(4, vec![email("a")]),
        ]);
        let mut held = Held::default();
        let first = admit(&mut waiting, &mut held, LIMITS);
        assert_eq!(
            numbers(admit(&mut waiting, &mut held, LIMITS)),
            Vec::<u32>::new(),
            "the first is under way"
        );
        first.iter().for_each(|write| held.release(write.resources()));
        assert_eq!(numbers(first), [1, 3]);
        assert_eq!(numbers(admit(&mut waiting, &mut held, LIMITS)), [2]);
        assert_eq!(numbers(waiting), [4]);
    }

    #[test]
    fn products_of_one_supplier_go_together_but_not_with_its_removal() {
        let supplier = Id::new();
        let list = |hold| vec![(Resource::ProductList(supplier), hold)];
        let mut waiting = VecDeque::from([
            Write(1, list(Hold::Shared)),
            Write(2, list(Hold::Shared)),
            Write(3, list(Hold::Exclusive)),
        ]);
        let mut held = Held::default();
        let first = admit(&mut waiting, &mut held, LIMITS);
        let mut beside = VecDeque::from([Write(4, list(Hold::Shared))]);
        assert!(admit(&mut beside, &mut held, LIMITS).is_empty(), "it would meet a conflict");
        for write in &first {
            held.release(write.resources());
        }
        assert_eq!(numbers(first), [1, 2]);
        assert_eq!(numbers(admit(&mut waiting, &mut held, LIMITS)), [3]);
    }

    #[test]
    fn a_group_is_bounded_in_number_and_bytes_and_never_starves() {
        let many = || (0..20).map(|number| Write(number, vec![])).collect::<VecDeque<_>>();
        let by_number = Limits { writes: 3, bytes: usize::MAX };
        assert_eq!(admit(&mut many(), &mut Held::default(), by_number).len(), 3);
        let by_bytes = Limits { writes: 32, bytes: 250 };
        assert_eq!(admit(&mut many(), &mut Held::default(), by_bytes).len(), 2);
        let too_small = Limits { writes: 32, bytes: 1 };
        assert_eq!(admit(&mut many(), &mut Held::default(), too_small).len(), 1);
    }
}

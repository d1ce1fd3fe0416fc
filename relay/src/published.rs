//! Sets of event ids, for leaving out what was published before.

use uuid::Uuid;

/// 16 bytes an event: a day's events of a busy outbox fit in memory.
#[derive(Debug, Default)]
pub struct EventIds(Vec<u128>);

impl EventIds {
    /// Ids that shall be looked up afterwards.
    pub fn collect(ids: impl IntoIterator<Item = Uuid>) -> Self {
        let mut sorted: Vec<u128> = ids.into_iter().map(|id| id.as_u128()).collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    pub fn contains(&self, id: Uuid) -> bool {
        self.0.binary_search(&id.as_u128()).is_ok()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let ids: Vec<Uuid> = (0..100).map(|_| Uuid::now_v7()).collect();
        let set = EventIds::collect(ids.iter().rev().copied());
        assert_eq!(set.len(), 100);
        assert!(ids.iter().all(|id| set.contains(*id)));
        assert!(!set.contains(Uuid::now_v7()));
        assert!(!EventIds::default().contains(ids[0]));
    }
}

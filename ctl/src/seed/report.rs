use std::collections::BTreeMap;

use shared::event::Domain;

use super::plan::{Action, Call};
use crate::table::{Table, grouped};

/// What was done, by domain.
#[derive(Debug, Default, PartialEq)]
pub struct Tally(BTreeMap<Domain, Counts>);

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Counts {
    requests: u32,
    created: u32,
    updated: u32,
    moved: u32,
    deleted: u32,
    events: u32,
}

impl Tally {
    pub fn count(&mut self, call: &Call) {
        let counts = self.0.entry(call.subject.domain).or_default();
        counts.requests += 1;
        match call.action {
            Action::Create(_) => counts.created += 1,
            Action::Update(_) => counts.updated += 1,
            Action::Transition { .. } => counts.moved += 1,
            Action::Delete => counts.deleted += 1,
        }
        // A supplier that leaves has its products deleted: their events are theirs.
        for event in &call.events {
            self.0.entry(event.domain()).or_default().events += 1;
        }
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new([
            "domain",
            "requests",
            "created",
            "updated",
            "transitions",
            "deleted",
            "events expected",
        ]);
        let mut total = Counts::default();
        for (domain, counts) in &self.0 {
            table.row(counts.row(domain.topic()));
            total = total.plus(*counts);
        }
        table.row(total.row("total"));
        table
    }
}

impl Counts {
    fn row(self, name: &str) -> Vec<String> {
        let numbers =
            [self.requests, self.created, self.updated, self.moved, self.deleted, self.events];
        let cells = numbers.into_iter().map(grouped);
        std::iter::once(name.to_owned()).chain(cells).collect()
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            created: self.created + other.created,
            updated: self.updated + other.updated,
            moved: self.moved + other.moved,
            deleted: self.deleted + other.deleted,
            events: self.events + other.events,
        }
    }
}

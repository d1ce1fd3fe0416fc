use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::table::{Table, grouped};

/// What came of an adoption.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From `User` to `users`.
    pub moved_users: u64,
    pub domains: BTreeMap<&'static str, Counts>,
    /// Could not be adopted; the first of them, each with its reason.
    pub refused: Vec<(String, String)>,
    /// Differ still, while an event of theirs is on its way: run again to be sure.
    pub on_their_way: u64,
    #[serde(skip)]
    first: usize,
}

#[derive(Debug, Default, Serialize)]
pub struct Counts {
    pub documents: u64,
    pub adopted: u64,
    pub refused: u64,
}

impl Report {
    pub fn new(first: usize) -> Self {
        Self {
            moved_users: 0,
            domains: BTreeMap::new(),
            refused: Vec::new(),
            on_their_way: 0,
            first,
        }
    }

    pub fn of(&mut self, collection: &'static str) -> &mut Counts {
        self.domains.entry(collection).or_default()
    }

    /// Names it, if it is one of the first.
    pub fn refuse(&mut self, collection: &'static str, id: String, why: String) {
        self.of(collection).refused += 1;
        if self.refused.len() < self.first {
            self.refused.push((format!("{collection} {id}"), why));
        }
    }

    pub fn is_complete(&self) -> bool {
        self.refused_in_all() == 0 && self.on_their_way == 0
    }

    fn refused_in_all(&self) -> u64 {
        self.domains.values().map(|counts| counts.refused).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["collection", "documents", "adopted", "refused"]);
        for (collection, counts) in &self.domains {
            let Counts { documents, adopted, refused } = *counts;
            let numbers = [documents, adopted, refused].map(grouped);
            table.row(std::iter::once((*collection).to_owned()).chain(numbers));
        }
        write!(f, "{table}")?;
        for (document, why) in &self.refused {
            writeln!(f, "{document}: {why}")?;
        }
        let unnamed = self.refused_in_all() - self.refused.len() as u64;
        if unnamed > 0 {
            writeln!(f, "and {} more", grouped(unnamed))?;
        }
        if self.moved_users > 0 {
            writeln!(f, "{} users moved from User to users", grouped(self.moved_users))?;
        }
        if self.on_their_way > 0 {
            let count = grouped(self.on_their_way);
            writeln!(f, "{count} differ while an event of theirs is on its way: run again")?;
        }
        Ok(())
    }
}

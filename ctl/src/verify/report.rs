use serde::Serialize;

use super::compare::{Difference, Kind};
use super::projected::{Projected, Source};
use super::shape::Shape;

/// What a pass saw and what differed when looked at last, by table.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub clean: bool,
    /// The comparison ended early, because so many differ; the tables count what it saw.
    pub more: bool,
    pub seconds: f64,
    pub tables: Vec<TableReport>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct TableReport {
    pub table: &'static str,
    /// Documents (or variants, or items) that should have a row.
    pub documents: u64,
    pub rows: u64,
    pub missing: u64,
    pub extra: u64,
    pub stale: u64,
    pub different: u64,
    pub unreadable: u64,
    /// The first of them, each field by field.
    pub differences: Vec<Difference>,
}

/// The reports of one domain's tables, parent first.
#[derive(Debug, Clone)]
pub struct Tables(Vec<TableReport>);

impl Tables {
    pub fn new(shape: &Shape) -> Self {
        let report = |table| TableReport { table, ..TableReport::default() };
        Self(shape.tables().map(|table| report(table.name)).collect())
    }

    /// Counts one entity.
    pub fn saw(&mut self, source: Option<&Source>, row: Option<&Projected>) {
        let children = |side: Option<&Projected>| side.map_or(0, |it| it.children.len() as u64);
        let present = match source {
            Some(Source::Present(projected)) => Some(projected),
            _ => None,
        };
        let seen = [
            (u64::from(expects_row(source)), u64::from(row.is_some())),
            (children(present), children(row)),
        ];
        for (table, (documents, rows)) in self.0.iter_mut().zip(seen) {
            table.documents += documents;
            table.rows += rows;
        }
    }

    /// Files a difference, in full if it is one of the table's first `first`.
    pub fn file(&mut self, difference: Difference, first: usize) {
        let Some(table) = self.0.iter_mut().find(|table| table.table == difference.table) else {
            return;
        };
        *match difference.kind {
            Kind::Missing => &mut table.missing,
            Kind::Extra => &mut table.extra,
            Kind::Stale => &mut table.stale,
            Kind::Different => &mut table.different,
            Kind::Unreadable => &mut table.unreadable,
        } += 1;
        if table.differences.len() < first {
            table.differences.push(difference);
        }
    }

    pub fn plus(mut self, other: Self, first: usize) -> Self {
        for (table, other) in self.0.iter_mut().zip(other.0) {
            table.add(other, first);
        }
        self
    }

    pub fn into_reports(self) -> Vec<TableReport> {
        self.0
    }
}

fn expects_row(source: Option<&Source>) -> bool {
    match source {
        Some(Source::Present(_) | Source::Unreadable { .. }) => true,
        Some(Source::Gone { .. }) | None => false,
    }
}

impl TableReport {
    fn add(&mut self, other: Self, first: usize) {
        self.documents += other.documents;
        self.rows += other.rows;
        self.missing += other.missing;
        self.extra += other.extra;
        self.stale += other.stale;
        self.different += other.different;
        self.unreadable += other.unreadable;
        self.differences.extend(other.differences);
        self.differences.truncate(first);
    }

    pub fn is_clean(&self) -> bool {
        self.differing() == 0
    }

    pub fn differing(&self) -> u64 {
        self.by_kind().into_iter().map(|(_, count)| count).sum()
    }

    pub fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("missing", self.missing),
            ("extra", self.extra),
            ("stale", self.stale),
            ("different", self.different),
            ("unreadable", self.unreadable),
        ]
    }
}

impl Report {
    pub fn new(tables: Vec<TableReport>, seconds: f64) -> Self {
        Self { clean: tables.iter().all(TableReport::is_clean), more: false, seconds, tables }
    }

    /// Whether the rows show no later version of any document: those without a document show
    /// none.
    pub fn outranks_rows(&self) -> bool {
        let only_extra = |table: &TableReport| table.differing() == table.extra;
        !self.more && self.tables.iter().all(only_extra)
    }
}

//! A report for people.

use std::fmt;

use serde_json::Value;

use super::compare::{Difference, FieldDifference, Kind};
use super::report::{Report, TableReport};
use crate::table::{Table, grouped};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "table",
            "documents",
            "rows",
            "missing",
            "extra",
            "stale",
            "different",
            "unreadable",
        ]);
        for it in &self.tables {
            let numbers = [
                it.documents,
                it.rows,
                it.missing,
                it.extra,
                it.stale,
                it.different,
                it.unreadable,
            ];
            let cells = numbers.into_iter().map(grouped);
            table.row(std::iter::once(it.table.to_owned()).chain(cells));
        }
        write!(f, "{table}")?;
        for it in &self.tables {
            for difference in &it.differences {
                write!(f, "\n{difference}")?;
            }
            let more = it.differing() - it.differences.len() as u64;
            if more > 0 {
                writeln!(f, "\n{}: and {} more", it.table, grouped(more))?;
            }
        }
        let differing: u64 = self.tables.iter().map(TableReport::differing).sum();
        let documents: u64 = self.tables.iter().map(|table| table.documents).sum();
        let verdict = match (self.clean, self.more) {
            (true, _) => "clean: every document equals its rows, and no row is extra".to_owned(),
            (false, false) => format!("{} differences", grouped(differing)),
            (false, true) => format!(
                "more than {} differ, the rest was not compared: outboxctl replay",
                grouped(differing)
            ),
        };
        writeln!(f, "\n{verdict} ({} compared in {:.1} s)", grouped(documents), self.seconds)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let child = self.child.as_ref().map(|key| format!(" {key:?}")).unwrap_or_default();
        let kind = match self.kind {
            Kind::Missing => "missing in MySQL",
            Kind::Extra => "extra in MySQL",
            Kind::Stale => "stale in MySQL",
            Kind::Different => "different",
            Kind::Unreadable => "unreadable in MongoDB",
        };
        writeln!(f, "{} {}{child}: {kind}", self.table, self.id)?;
        for FieldDifference { field, document, row } in &self.fields {
            writeln!(f, "    {field}: document {}, row {}", short(document), short(row))?;
        }
        Ok(())
    }
}

/// At most so many characters of a value are printed.
const WIDTH: usize = 100;

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

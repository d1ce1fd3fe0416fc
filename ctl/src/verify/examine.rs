//! A closer look at the ids that seemed to differ, with fresh reads: the pass
//! saw the two sides at two moments, and rows may lawfully lag or stand in.

use std::collections::{HashMap, HashSet};

use shared::Id;
use shared::event::Domain;

use super::VerifyError;
use super::compare::{Difference, compare};
use super::projected::{Projected, Source};
use super::replica::Rows;
use super::shape::Shape;
use super::source::Documents;

/// Ids a look; bounds memory and the length of the statements.
pub const BATCH: usize = 500;

/// An entity on both sides, and in what they differ.
pub struct Finding {
    pub source: Option<Source>,
    pub row: Option<Projected>,
    pub differences: Vec<Difference>,
    /// It differs, and the outbox holds an event that the row does not show yet.
    pub on_its_way: bool,
}

impl Finding {
    /// 0 where there is no row.
    pub fn row_version(&self) -> i64 {
        self.row.as_ref().map_or(0, |row| row.version)
    }

    /// None where there is no document that can be read.
    pub fn document_version(&self) -> Option<i64> {
        match &self.source {
            Some(Source::Present(document)) => Some(document.version),
            _ => None,
        }
    }
}

/// How the entities `ids` (at most [`BATCH`]) stand now, in their order.
///
/// # Errors
/// Where one of the servers cannot be read.
pub async fn examine(
    shape: &'static Shape,
    documents: &Documents,
    rows: &Rows,
    ids: &[Id],
) -> Result<Vec<Finding>, VerifyError> {
    // The document first: a row that is then older than it is stale for certain.
    let mut sources = by_id(documents.by_ids(shape, ids).await?);
    let rows = rows.by_ids(shape, ids).await?;
    let mut rows: HashMap<String, Projected> =
        rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    // A write may have come and been applied between the two reads.
    let overtaken = |id: &&Id| overtaken(&id.to_string(), &sources, &rows);
    let overtaken: Vec<Id> = ids.iter().filter(overtaken).copied().collect();
    if !overtaken.is_empty() {
        let again = by_id(documents.by_ids(shape, &overtaken).await?);
        sources.retain(|id, _| !overtaken.iter().any(|it| it.to_string() == *id));
        sources.extend(again);
    }
    match shape.domain {
        Domain::Supplier => forgive_placeholders(documents, &sources, &mut rows).await?,
        Domain::Product => forgive_orphans(shape, documents, &mut sources, &rows).await?,
        Domain::User | Domain::Order | Domain::Post => {}
    }
    let mut finding = |id: &Id| {
        let id = id.to_string();
        let (source, row) = (sources.remove(&id), rows.remove(&id));
        let differences = compare(shape, source.as_ref(), row.as_ref());
        Finding { source, row, differences, on_its_way: false }
    };
    let mut findings: Vec<Finding> = ids.iter().map(&mut finding).collect();
    mark_what_is_on_its_way(documents, ids, &mut findings).await?;
    Ok(findings)
}

fn by_id(sources: Vec<Source>) -> HashMap<String, Source> {
    sources.into_iter().map(|source| (source.id().to_owned(), source)).collect()
}

/// Whether the row shows what the document did not know yet when it was read.
fn overtaken(
    id: &str,
    sources: &HashMap<String, Source>,
    rows: &HashMap<String, Projected>,
) -> bool {
    match (sources.get(id), rows.get(id)) {
        (Some(Source::Present(document)), Some(row)) => row.version > document.version,
        (None, Some(row)) => !row.is_placeholder,
        _ => false,
    }
}

async fn mark_what_is_on_its_way(
    documents: &Documents,
    ids: &[Id],
    findings: &mut [Finding],
) -> Result<(), VerifyError> {
    let differs = |(_, finding): &(&Id, &Finding)| !finding.differences.is_empty();
    let behind: Vec<(Id, i64)> = ids
        .iter()
        .zip(findings.iter())
        .filter(differs)
        .map(|(id, finding)| (*id, finding.row_version()))
        .collect();
    let on_their_way = documents.with_later_events(&behind).await?;
    for (id, finding) in ids.iter().zip(findings) {
        finding.on_its_way =
            !finding.differences.is_empty() && on_their_way.contains(&id.to_string());
    }
    Ok(())
}

/// A supplier's row without a document is right as long as it is only there for
/// the foreign key of a living product.
async fn forgive_placeholders(
    documents: &Documents,
    sources: &HashMap<String, Source>,
    rows: &mut HashMap<String, Projected>,
) -> Result<(), VerifyError> {
    let stands_in = |row: &&Projected| row.is_placeholder && !sources.contains_key(&row.id);
    let placeholders: HashSet<String> =
        rows.values().filter(stands_in).map(|row| row.id.clone()).collect();
    if placeholders.is_empty() {
        return Ok(());
    }
    for id in documents.referred_to(&placeholders).await? {
        rows.remove(&id);
    }
    Ok(())
}

/// A living product whose supplier is gone refers to it still; its row cannot,
/// the foreign key forbids it, and holds NULL.
async fn forgive_orphans(
    shape: &Shape,
    documents: &Documents,
    sources: &mut HashMap<String, Source>,
    rows: &HashMap<String, Projected>,
) -> Result<(), VerifyError> {
    let Some(column) = shape.table.position("supplier_id") else {
        return Ok(());
    };
    let is_orphan = |id: &str| rows.get(id).is_some_and(|row| row.row[column].is_null());
    let mut orphans: Vec<(&mut Projected, String)> = Vec::new();
    for source in sources.values_mut() {
        if let Source::Present(product) = source
            && is_orphan(&product.id)
            && let Some(supplier) = product.row[column].as_str().map(str::to_owned)
        {
            orphans.push((product, supplier));
        }
    }
    if orphans.is_empty() {
        return Ok(());
    }
    let named = orphans.iter().map(|(_, supplier)| supplier.clone()).collect();
    let existing = documents.suppliers(&named).await?;
    for (product, supplier) in orphans {
        if !existing.contains(&supplier) {
            product.row[column] = serde_json::Value::Null;
        }
    }
    Ok(())
}

//! A closer look at the ids that seemed to differ, with fresh reads: the pass
//! saw the two sides at two moments, and rows may lawfully lag or stand in.

use std::collections::{HashMap, HashSet};

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
}

/// How the entities `ids` (at most [`BATCH`]) stand now.
///
/// # Errors
/// Where one of the servers cannot be read.
pub async fn examine(
    shape: &'static Shape,
    documents: &Documents,
    rows: &Rows,
    ids: &[Box<str>],
) -> Result<Vec<Finding>, VerifyError> {
    // The document first: a row that is then older than it is stale for certain.
    let sources = documents.by_ids(shape, ids).await?;
    let rows = rows.by_ids(shape, ids).await?;
    let mut sources: HashMap<String, Source> =
        sources.into_iter().map(|source| (source.id().to_owned(), source)).collect();
    let mut rows: HashMap<String, Projected> =
        rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    match shape.domain {
        Domain::Supplier => forgive_placeholders(documents, &sources, &mut rows).await?,
        Domain::Product => forgive_orphans(shape, documents, &mut sources, &rows).await?,
        Domain::User | Domain::Order | Domain::Post => {}
    }
    let mut finding = |id: &str| {
        let (source, row) = (sources.remove(id), rows.remove(id));
        let differences = compare(shape, source.as_ref(), row.as_ref());
        Finding { source, row, differences }
    };
    Ok(ids.iter().map(|id| finding(id)).collect())
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

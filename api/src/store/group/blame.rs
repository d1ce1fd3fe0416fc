//! Who is to blame when a group fails: asked of the database, one query for each
//! constraint and collection, so that bad writes cost a group one more transaction
//! and not one each.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document as Fields, doc};
use mongodb::error::Result;

use super::admit::Resource;
use super::{CommitError, Constraint, Write};
use crate::store::transaction::Transactions;
use crate::store::write::Action;

/// What the database says about the preconditions of a group.
#[derive(Debug, Default)]
struct Findings {
    taken: HashSet<(Constraint, String)>,
    /// Collection and id of the documents that are as an update or removal wants them.
    as_expected: HashSet<(&'static str, String)>,
}

impl Transactions {
    /// What each of `writes` fails with as things are now; `None` for those that seem
    /// innocent. A verdict is as good as the one of a transaction of its own at this
    /// moment. Innocence is not: the next transaction decides.
    ///
    /// # Errors
    /// Where MongoDB does not answer.
    pub async fn blame(&self, writes: &[Arc<Write>]) -> Result<Vec<Option<CommitError>>> {
        let mut findings = Findings::default();
        for constraint in Constraint::ALL {
            let values = writes.iter().flat_map(|write| claims(write, constraint)).collect();
            let taken = self.taken(constraint, values).await?;
            findings.taken.extend(taken.into_iter().map(|value| (constraint, value)));
        }
        for (collection, filters) in expectations(writes) {
            let ids = self.matching(collection, filters).await?;
            findings.as_expected.extend(ids.into_iter().map(|id| (collection, id)));
        }
        Ok(writes.iter().map(|write| findings.verdict(write)).collect())
    }

    async fn taken(&self, constraint: Constraint, values: Vec<&str>) -> Result<Vec<String>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let documents = self.database.collection::<Fields>(constraint.collection());
        let field = constraint.field();
        let taken = documents.distinct(field, doc! { field: { "$in": values } }).await?;
        Ok(taken.iter().filter_map(Bson::as_str).map(str::to_owned).collect())
    }

    async fn matching(&self, collection: &str, filters: Vec<Fields>) -> Result<Vec<String>> {
        let documents = self.database.collection::<Fields>(collection);
        let found = documents.find(doc! { "$or": filters }).projection(doc! { "_id": 1 });
        let found: Vec<Fields> = found.await?.try_collect().await?;
        Ok(found.iter().filter_map(|document| document.get("_id")).map(Bson::to_string).collect())
    }
}

impl Findings {
    fn verdict(&self, write: &Write) -> Option<CommitError> {
        for constraint in Constraint::ALL {
            let mut claimed = claims(write, constraint);
            if claimed.any(|value| self.taken.contains(&(constraint, value.to_owned()))) {
                return Some(CommitError::Duplicate(constraint));
            }
        }
        let holds = |(collection, filter): (&'static str, &Fields)| {
            let id = filter.get("_id").map(Bson::to_string).unwrap_or_default();
            self.as_expected.contains(&(collection, id))
        };
        if expected_by(write).all(holds) { None } else { Some(CommitError::Stale) }
    }
}

/// The values of `constraint` that the write wants for itself.
fn claims(write: &Write, constraint: Constraint) -> impl Iterator<Item = &str> {
    write.resources.iter().filter_map(move |(resource, _)| match resource {
        Resource::Unique(of, value) if *of == constraint => Some(value.as_str()),
        _ => None,
    })
}

/// The documents that must be there as the filter says.
fn expected_by(write: &Write) -> impl Iterator<Item = (&'static str, &Fields)> {
    write.operations.iter().filter_map(|operation| match &operation.action {
        Action::Update { filter, .. } | Action::Remove { filter } => {
            Some((operation.collection, filter))
        }
        Action::Insert(_) | Action::UpdateIfPresent { .. } => None,
    })
}

fn expectations(writes: &[Arc<Write>]) -> Vec<(&'static str, Vec<Fields>)> {
    let mut by_collection: Vec<(&'static str, Vec<Fields>)> = Vec::new();
    for (collection, filter) in writes.iter().flat_map(|write| expected_by(write)) {
        match by_collection.iter_mut().find(|(name, _)| *name == collection) {
            Some((_, filters)) => filters.push(filter.clone()),
            None => by_collection.push((collection, vec![filter.clone()])),
        }
    }
    by_collection
}

//! All documents in pages: those that lack an event get one.

use std::time::Instant;

use shared::Id;
use shared::process::RetryPolicy;

use super::AdoptError;
use super::report::Report;
use crate::rewrite::{Rewriter, Target};
use crate::terminal::Progress;
use crate::verify::{BATCH, Documents, Finding, Rows, Shape, Source, examine};

/// Between two looks at what is on its way.
const AGAIN: RetryPolicy = RetryPolicy {
    initial: std::time::Duration::from_millis(100),
    max: std::time::Duration::from_secs(2),
};

pub struct Adoption {
    pub documents: Documents,
    pub rows: Rows,
    pub rewriter: Rewriter,
    pub progress: Progress,
    pub report: Report,
    /// Differ, but an event of theirs is on its way: it may explain that.
    pub waiting: Vec<(&'static Shape, Id)>,
}

/// What a document needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// To be looked at again once its latest event is applied.
    Waiting,
    Event,
}

impl Adoption {
    /// # Errors
    /// Where a server cannot be reached. What was adopted stays.
    pub async fn run(&mut self, deadline: Instant) -> Result<(), AdoptError> {
        let mut total = 0;
        for shape in Shape::ALL {
            total += self.documents.count(shape.domain).await?;
        }
        self.progress.restart_at_about(total);
        for shape in Shape::ALL {
            self.progress.stage(shape.domain.collection());
            self.walk(shape).await?;
        }
        self.await_the_rest(deadline).await
    }

    async fn walk(&mut self, shape: &'static Shape) -> Result<(), AdoptError> {
        let collection = shape.domain.collection();
        for id in self.documents.ids_of_other_types(shape.domain).await? {
            self.report.of(collection).documents += 1;
            self.report.refuse(collection, id, "its _id is no ObjectId".to_owned());
        }
        let mut after = None;
        loop {
            let ids = self.documents.ids_after(shape.domain, after, BATCH).await?;
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after = Some(*last);
            self.report.of(collection).documents += ids.len() as u64;
            let waiting = self.adopt(shape, &ids).await?;
            self.waiting.extend(waiting.into_iter().map(|id| (shape, id)));
            self.progress.advance(ids.len() as u64);
        }
    }

    /// Gives an event to those of `ids` that need one. Returns those that may.
    async fn adopt(&mut self, shape: &'static Shape, ids: &[Id]) -> Result<Vec<Id>, AdoptError> {
        let found = examine(shape, &self.documents, &self.rows, ids).await?;
        let deleted =
            self.rows.deleted(shape, ids).await.map_err(crate::verify::VerifyError::from)?;
        let (mut targets, mut waiting) = (Vec::new(), Vec::new());
        for (id, finding) in ids.iter().zip(&found) {
            match need(finding) {
                Need::Nothing => {}
                Need::Waiting => waiting.push(*id),
                Need::Event => {
                    let remembered = deleted.get(&id.to_string()).copied().unwrap_or(0);
                    let above = finding.row_version().max(remembered);
                    targets.push(Target { id: *id, above });
                }
            }
        }
        let collection = shape.domain.collection();
        for (id, outcome) in self.rewriter.rewrite(shape.domain, targets).await? {
            match outcome {
                Ok(()) => self.report.of(collection).adopted += 1,
                Err(why) => self.report.refuse(collection, id.to_string(), why.to_string()),
            }
        }
        Ok(waiting)
    }

    async fn await_the_rest(&mut self, deadline: Instant) -> Result<(), AdoptError> {
        let mut pauses = AGAIN.waits();
        while !self.waiting.is_empty() {
            self.progress.stage("waiting for events on their way");
            let mut waiting = std::mem::take(&mut self.waiting);
            for same in waiting.chunk_by(|one, other| one.0.domain == other.0.domain) {
                let (shape, ids): (_, Vec<Id>) =
                    (same[0].0, same.iter().map(|(_, id)| *id).collect());
                for ids in ids.chunks(BATCH) {
                    let still = self.adopt(shape, ids).await?;
                    self.waiting.extend(still.into_iter().map(|id| (shape, id)));
                }
            }
            waiting.clear();
            if Instant::now() >= deadline {
                break;
            }
            if !self.waiting.is_empty() {
                tokio::time::sleep(pauses.next().unwrap_or(AGAIN.max)).await;
            }
        }
        self.report.on_their_way = self.waiting.len() as u64;
        Ok(())
    }
}

/// A document without our version was never told of. Any other was, unless its row
/// differs and nothing is on its way that could explain it.
fn need(finding: &Finding) -> Need {
    match &finding.source {
        Some(Source::Present(document)) if document.version < 1 => Need::Event,
        // Gone while we looked, with an event of its own; a row without a document is
        // none of ours.
        None => Need::Nothing,
        _ if finding.differences.is_empty() => Need::Nothing,
        _ if finding.on_its_way => Need::Waiting,
        _ => Need::Event,
    }
}

#[cfg(test)]
mod tests {
    use shared::event::Domain;

    use super::*;
    use crate::verify::compare;

    fn finding(version: i64, on_its_way: bool) -> Finding {
        let shape = Shape::ALL[0];
        assert_eq!(shape.domain, Domain::User);
        let user = bson::rawdoc! {
            "_id": bson::oid::ObjectId::new(), "version": version,
            "created_at": bson::DateTime::now(), "updated_at": bson::DateTime::now(),
            "contact_info": {"primary_email": "a@example.com"},
            "profile": {"display_name": "Ann"},
        };
        let source = Source::read(shape, "65a1b2c3d4e5f60718293a4b".to_owned(), &user);
        let differences = compare(shape, Some(&source), None);
        Finding { source: Some(source), row: None, differences, on_its_way }
    }

    #[test]
    fn a_document_needs_an_event_unless_one_tells_of_it() {
        assert_eq!(need(&finding(0, false)), Need::Event);
        assert_eq!(need(&finding(0, true)), Need::Event, "an event of the Python system's");
        assert_eq!(need(&finding(1, false)), Need::Event, "written around the API");
        assert_eq!(need(&finding(1, true)), Need::Waiting);
        let equal = Finding { differences: Vec::new(), ..finding(1, false) };
        assert_eq!(need(&equal), Need::Nothing);
    }
}

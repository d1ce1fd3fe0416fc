//! The entities of one domain that seemed to differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::Id;

use super::VerifyError;
use super::examine::{BATCH, Finding, examine};
use super::report::Tables;
use super::shape::Shape;
use super::verifier::{Look, Verifier};

/// One domain after its pass: what is certain, and what seems to differ: 32 bytes for each
/// of those, twice while they are looked at again, and no more of them than [`Room`] has.
pub struct Suspicion {
    pub shape: &'static Shape,
    pub settled: Tables,
    pub ids: Vec<Suspect>,
}

/// How many more suspects a comparison takes. What its ranges find is counted together.
#[derive(Debug, Clone)]
pub struct Room(Arc<AtomicUsize>);

impl Room {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(most)))
    }

    /// False if there is none left.
    pub fn take(&self) -> bool {
        let less = |room: usize| room.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Suspect {
    pub id: Id,
    /// The document's version when it was looked at for the first time.
    version: Option<i64>,
}

impl Suspicion {
    pub fn new(shape: &'static Shape) -> Self {
        Self { shape, settled: Tables::new(shape), ids: Vec::new() }
    }

    pub fn suspect(&mut self, id: Id) {
        self.ids.push(Suspect { id, version: None });
    }

    pub fn absorb(&mut self, other: Self, first: usize) {
        let settled = std::mem::replace(&mut self.settled, Tables::new(self.shape));
        self.settled = settled.plus(other.settled, first);
        self.ids.extend(other.ids);
    }

    /// Keeps only those that still differ.
    ///
    /// # Errors
    /// Where one of the servers cannot be read.
    pub async fn look_again(&mut self, verifier: &Verifier) -> Result<Look, VerifyError> {
        let mut still = Vec::new();
        let mut pending = Tables::new(self.shape);
        let mut on_their_way = 0;
        for suspects in self.ids.chunks(BATCH) {
            let ids: Vec<Id> = suspects.iter().map(|suspect| suspect.id).collect();
            let found = examine(self.shape, &verifier.documents, &verifier.rows, &ids).await?;
            for (suspect, finding) in suspects.iter().zip(found) {
                if suspect.is_cleared_by(&finding) {
                    self.settled.saw(finding.source.as_ref(), finding.row.as_ref());
                    continue;
                }
                on_their_way += usize::from(finding.on_its_way);
                pending.saw(finding.source.as_ref(), finding.row.as_ref());
                still.push(suspect.seen(&finding));
                for difference in finding.differences {
                    pending.file(difference, verifier.first);
                }
            }
        }
        self.ids = still;
        let tables = self.settled.clone().plus(pending, verifier.first);
        Ok(Look { tables, on_their_way })
    }
}

impl Suspect {
    /// It is equal; or its row has passed what the document was at the first look, and
    /// what it lacks by now is a later write that is on its way. An entity that is
    /// written all the time is never found equal, and is right all the same.
    fn is_cleared_by(self, finding: &Finding) -> bool {
        let keeps_up = self.version.is_some_and(|version| finding.row_version() >= version);
        finding.differences.is_empty() || finding.on_its_way && keeps_up
    }

    fn seen(self, finding: &Finding) -> Self {
        Self { version: self.version.or(finding.document_version()), ..self }
    }
}

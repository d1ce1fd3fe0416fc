use std::time::Instant;

use super::compare::compare;
use super::examine::{BATCH, examine};
use super::replica::Rows;
use super::report::{Report, Tables};
use super::shape::Shape;
use super::source::Documents;
use super::{AGAIN, VerifyError, merge};
use crate::terminal::Progress;

pub struct Verifier<'a> {
    pub documents: Documents,
    pub rows: Rows,
    pub progress: &'a Progress,
    /// How many differences of a table are kept in full.
    pub first: usize,
}

/// One domain after its pass: what is certain, and the ids that seem to differ.
struct Suspicion {
    shape: &'static Shape,
    settled: Tables,
    ids: Vec<Box<str>>,
}

impl Verifier<'_> {
    /// Looks again at what differs until it is clean, or `deadline`.
    ///
    /// # Errors
    /// Where one of the servers cannot be read.
    pub async fn verify(&self, deadline: Instant) -> Result<Report, VerifyError> {
        let started = Instant::now();
        let mut total = 0;
        for shape in Shape::ALL {
            total += self.documents.count(shape.domain).await?;
        }
        self.progress.restart(total);
        let mut suspicions = Vec::new();
        for shape in Shape::ALL {
            suspicions.push(self.pass(shape).await?);
        }
        let mut pauses = AGAIN.waits();
        loop {
            let mut tables = Vec::new();
            for suspicion in &mut suspicions {
                tables.extend(self.look_again(suspicion).await?.into_reports());
            }
            let report = Report::new(tables, started.elapsed().as_secs_f64());
            if report.clean || Instant::now() >= deadline {
                return Ok(report);
            }
            let differing: usize = suspicions.iter().map(|suspicion| suspicion.ids.len()).sum();
            self.progress.stage(&format!("{differing} still differ"));
            tokio::time::sleep(pauses.next().unwrap_or(AGAIN.max)).await;
        }
    }

    async fn pass(&self, shape: &'static Shape) -> Result<Suspicion, VerifyError> {
        self.progress.stage(shape.table.name);
        let mut suspicion = Suspicion { shape, settled: Tables::new(shape), ids: Vec::new() };
        let documents = self.documents.all(shape).await?;
        merge::merge(documents, self.rows.all(shape), |source, row| {
            self.progress.advance(u64::from(source.is_some()));
            let differences = compare(shape, source.as_ref(), row.as_ref());
            match differences.into_iter().next() {
                Some(difference) if can_be_looked_up(&difference.id) => {
                    suspicion.ids.push(difference.id.into());
                }
                difference => {
                    suspicion.settled.saw(source.as_ref(), row.as_ref());
                    if let Some(difference) = difference {
                        suspicion.settled.file(difference, self.first);
                    }
                }
            }
        })
        .await?;
        Ok(suspicion)
    }

    /// Keeps only the ids that still differ.
    async fn look_again(&self, suspicion: &mut Suspicion) -> Result<Tables, VerifyError> {
        let mut still = Vec::new();
        let mut pending = Tables::new(suspicion.shape);
        for ids in suspicion.ids.chunks(BATCH) {
            let found = examine(suspicion.shape, &self.documents, &self.rows, ids).await?;
            for (id, finding) in ids.iter().zip(found) {
                let tables = match finding.differences.is_empty() {
                    true => &mut suspicion.settled,
                    false => &mut pending,
                };
                tables.saw(finding.source.as_ref(), finding.row.as_ref());
                if !finding.differences.is_empty() {
                    still.push(id.clone());
                }
                for difference in finding.differences {
                    pending.file(difference, self.first);
                }
            }
        }
        suspicion.ids = still;
        Ok(suspicion.settled.clone().plus(pending, self.first))
    }
}

/// Not so a document whose _id somebody made by hand, nor any row of it: what the
/// pass saw is the last word on those.
fn can_be_looked_up(id: &str) -> bool {
    id.parse::<shared::Id>().is_ok()
}

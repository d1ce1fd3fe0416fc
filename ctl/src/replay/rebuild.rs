//! The read model rebuilt from MongoDB, while projectors run and writes go on.
//!
//! Rows are written by the projector's own plan and transaction, under its guards: a
//! row changes only if the document is newer (or, on demand, as new), and what was
//! deleted meanwhile stays deleted. So this can be stopped, repeated and run beside
//! everything else.

use bson::RawDocumentBuf;
use projector::database::Writer;
use projector::decode::Change;
use projector::rebuild::{SameVersion, rebuild};
use projector::refusal::ApplyError;
use shared::event::Domain;
use shared::process::MysqlSettings;

use super::ReplayError;
use super::document::change;
use super::documents::Documents;
use crate::patience::Patience;
use crate::terminal::Progress;

/// So many of the refused documents are named.
const NAMED: usize = 1_000;

pub struct Rebuild<'a> {
    pub documents: Documents,
    pub mysql: &'a MysqlSettings,
    pub same_version: SameVersion,
    pub progress: &'a Progress,
    pub outcome: Outcome,
    pub writer: Option<Writer>,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub documents: u64,
    /// Documents that have no row now.
    pub refused: u64,
    /// The first of them, and why; the reason may quote the document.
    pub named: Vec<(String, String)>,
    /// Rows that had no document any more.
    pub removed: u64,
}

impl Rebuild<'_> {
    /// Parents before children: suppliers before products.
    ///
    /// # Errors
    /// If a server refuses, or stays away. What was written stays.
    pub async fn run(&mut self) -> Result<(), ReplayError> {
        for domain in Domain::ALL {
            self.progress.stage(domain.collection());
            let (count, first) = self.documents.of_other_ids(domain, NAMED).await?;
            self.outcome.documents += count;
            self.outcome.refused += count - first.len() as u64;
            for id in first {
                self.refuse(domain, id, "its _id is no ObjectId".to_owned());
            }
            let mut after = None;
            loop {
                let page = self.documents.page(domain, after).await?;
                let Some(last) = page.last() else {
                    break;
                };
                after = last.get_object_id("_id").ok();
                self.write(domain, &page).await?;
                self.progress.advance(page.len() as u64);
            }
        }
        Ok(())
    }

    async fn write(&mut self, domain: Domain, page: &[RawDocumentBuf]) -> Result<(), ReplayError> {
        self.outcome.documents += page.len() as u64;
        let mut changes = Vec::with_capacity(page.len());
        for raw in page {
            match change(domain, raw) {
                Ok(change) => changes.push(change),
                Err(reason) => self.refuse(domain, format!("{:?}", raw.get("_id")), reason),
            }
        }
        if self.apply(domain, &changes).await?.is_ok() {
            return Ok(());
        }
        // One of them is to blame: the others shall not suffer for it.
        for change in changes {
            let id = change.entity.to_string();
            if let Err(reason) = self.apply(domain, &[change]).await? {
                self.refuse(domain, id, reason);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, domain: Domain, id: String, reason: String) {
        self.outcome.refused += 1;
        if self.outcome.named.len() < NAMED {
            self.outcome.named.push((format!("{} {id}", domain.collection()), reason));
        }
    }

    /// The inner error is MySQL's refusal of a row.
    pub async fn apply(
        &mut self,
        domain: Domain,
        changes: &[Change],
    ) -> Result<Result<(), String>, ReplayError> {
        let mut patience = Patience::with("MySQL");
        loop {
            let error = match self.attempt(domain, changes.to_vec()).await {
                Ok(()) => return Ok(Ok(())),
                Err(ApplyError::Refused(poison)) => return Ok(Err(poison.to_string())),
                Err(ApplyError::Busy(error)) => error,
                Err(ApplyError::Away(error) | ApplyError::Drift(error)) => {
                    self.writer = None;
                    error
                }
            };
            patience.wait(error).await.map_err(ReplayError::Mysql)?;
        }
    }

    async fn attempt(&mut self, domain: Domain, changes: Vec<Change>) -> Result<(), ApplyError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::connect(self.mysql).await?),
        };
        rebuild(writer, domain, changes, self.same_version).await.map(drop)
    }
}

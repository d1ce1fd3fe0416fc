//! The read model rebuilt from MongoDB, while projectors run and writes go on.
//!
//! Rows are written by the projector's own plan and transaction, under its guards: a
//! row changes only where the document is newer, and what was deleted meanwhile stays
//! deleted. So this can be stopped, repeated and run beside everything else.

use std::time::{Duration, Instant};

use bson::{RawDocumentBuf, doc};
use futures::{TryStreamExt as _, stream};
use mongodb::{Collection, Database};
use projector::apply::apply;
use projector::database::Writer;
use projector::decode::Change;
use projector::plan::Writes;
use projector::refusal::ApplyError;
use shared::event::Domain;
use shared::process::{MysqlSettings, RetryPolicy};

use super::ReplayError;
use super::document::change;
use crate::terminal::Progress;

/// Documents a transaction.
const BATCH: usize = 500;
/// How long MySQL may stay away before the replay gives up.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rebuild<'a> {
    pub mongodb: Database,
    pub mysql: &'a MysqlSettings,
    pub progress: &'a Progress,
    writer: Option<Writer>,
    pub outcome: Outcome,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub documents: u64,
    /// Documents that have no row now, and why; the reason may quote the document.
    pub refused: Vec<(String, String)>,
}

impl<'a> Rebuild<'a> {
    pub fn new(mongodb: Database, mysql: &'a MysqlSettings, progress: &'a Progress) -> Self {
        Self { mongodb, mysql, progress, writer: None, outcome: Outcome::default() }
    }

    /// Parents before children: suppliers before products.
    ///
    /// # Errors
    /// Where a server cannot be reached. What was written stays.
    pub async fn run(&mut self) -> Result<(), ReplayError> {
        for domain in Domain::ALL {
            self.progress.stage(domain.collection());
            let documents = self.collection(domain);
            let cursor = documents.find(doc! {}).sort(doc! {"_id": 1});
            let without_secrets = doc! {"password_hash": 0, "banking_info": 0};
            let mut batches =
                cursor.projection(without_secrets).batch_size(500).await?.try_chunks(BATCH);
            while let Some(batch) = batches.try_next().await.map_err(|error| error.1)? {
                self.write(domain, &batch).await?;
                self.progress.advance(batch.len() as u64);
            }
        }
        Ok(())
    }

    pub async fn count(&self) -> Result<u64, ReplayError> {
        let counts = stream::iter(Domain::ALL.map(Ok::<_, ReplayError>));
        let count = |sum, domain| async move {
            Ok(sum + self.collection(domain).estimated_document_count().await?)
        };
        counts.try_fold(0, count).await
    }

    fn collection(&self, domain: Domain) -> Collection<RawDocumentBuf> {
        self.mongodb.collection(domain.collection())
    }

    async fn write(&mut self, domain: Domain, batch: &[RawDocumentBuf]) -> Result<(), ReplayError> {
        self.outcome.documents += batch.len() as u64;
        let mut changes = Vec::with_capacity(batch.len());
        for raw in batch {
            match change(domain, raw) {
                Ok(change) => changes.push(change),
                Err(reason) => self.refuse(domain, format!("{:?}", raw.get("_id")), reason),
            }
        }
        if self.apply(&changes).await?.is_ok() {
            return Ok(());
        }
        // One of them is to blame: the others shall not suffer for it.
        for change in changes {
            let id = change.entity.to_string();
            if let Err(reason) = self.apply(&[change]).await? {
                self.refuse(domain, id, reason);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, domain: Domain, id: String, reason: String) {
        self.outcome.refused.push((format!("{} {id}", domain.collection()), reason));
    }

    /// The inner error is MySQL's refusal of a row.
    async fn apply(&mut self, changes: &[Change]) -> Result<Result<(), String>, ReplayError> {
        let started = Instant::now();
        let mut waits = RetryPolicy::default().waits();
        loop {
            let attempt = async {
                let writer = match &mut self.writer {
                    Some(writer) => writer,
                    none => {
                        none.insert(Writer::connect(self.mysql).await.map_err(ApplyError::from)?)
                    }
                };
                let writes = Writes::of(changes.iter().cloned());
                apply(writer, stream::iter([writes]), &[]).await
            };
            match attempt.await {
                Ok(_) => return Ok(Ok(())),
                Err(ApplyError::Refused(poison)) => return Ok(Err(poison.to_string())),
                Err(ApplyError::Busy(_)) => {}
                Err(ApplyError::Away(error)) => {
                    self.writer = None;
                    if started.elapsed() > PATIENCE {
                        return Err(ReplayError::Mysql(error));
                    }
                    tracing::warn!(error, "MySQL is away: trying again");
                }
            }
            tokio::time::sleep(waits.next().unwrap_or_default()).await;
        }
    }
}

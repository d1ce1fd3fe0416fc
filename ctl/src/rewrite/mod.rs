//! Documents written again, each with its event in the same transaction: the ordinary
//! pipeline then brings them to the topics and to MySQL.
//!
//! Nothing in a document changes but its version, so whoever writes it meanwhile loses
//! nothing: one of the two transactions is repeated by its driver.

mod plan;

use std::collections::HashMap;

use bson::{RawDocumentBuf, doc};
use mongodb::error::{Error, Result};
use mongodb::options::{IndexOptions, ReadConcern, WriteConcern};
use mongodb::{ClientSession, Collection, Database, IndexModel};
use shared::Id;
use shared::event::Domain;
use shared::outbox::{self, OutboxRecord, field};

/// Documents a transaction: few enough that one which is written all the time does not
/// hold up many others.
const PAGE: usize = 100;
/// A transaction ends early after this many bytes of documents.
const PAGE_BYTES: usize = 8 << 20;

/// A document to be written again.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub id: Id,
    /// What its row, or the memory of its deletion, shows: the new version is later.
    pub above: i64,
}

/// Why one document cannot be written again.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("not in the contract's shape: {0}")]
    Unreadable(String),
    #[error("its event would have {0} bytes, more than the topics take")]
    TooLarge(usize),
    #[error("its document is gone, and no event of the contract takes its row away")]
    NoSuchEvent,
}

/// What came of each target.
pub type Outcomes = Vec<(Id, std::result::Result<(), Refusal>)>;

pub struct Rewriter(Database);

impl Rewriter {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Makes sure that the outbox is there, with the index by which an entity's events
    /// are found.
    ///
    /// # Errors
    /// Where MongoDB is away or refuses.
    pub async fn prepare(&self) -> Result<()> {
        // The names and options that the relay gives it.
        let keys = doc! {field::ENTITY_ID: 1, field::VERSION: 1};
        let model = IndexModel::builder().keys(keys).options(IndexOptions::default()).build();
        self.0.collection::<RawDocumentBuf>(outbox::COLLECTION).create_index(model).await?;
        Ok(())
    }

    /// Writes each target once, in as few transactions as is wise.
    ///
    /// # Errors
    /// Where MongoDB is away; what was written before stays, whole.
    pub async fn rewrite(&self, domain: Domain, mut targets: Vec<Target>) -> Result<Outcomes> {
        targets.sort_unstable_by_key(|target| target.id);
        let mut outcomes = Vec::with_capacity(targets.len());
        while outcomes.len() < targets.len() {
            let left = &targets[outcomes.len()..];
            outcomes.extend(self.transaction(domain, &left[..left.len().min(PAGE)]).await?);
        }
        Ok(outcomes)
    }

    /// Writes as many of `targets` as fit, from the first on, and at least one.
    async fn transaction(&self, domain: Domain, targets: &[Target]) -> Result<Outcomes> {
        let mut session = self.0.client().start_session().await?;
        session
            .start_transaction()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .and_run((self, domain, targets), |session, (rewriter, domain, targets)| {
                Box::pin(async move { rewriter.attempt(session, *domain, targets).await })
            })
            .await
    }

    async fn attempt(
        &self,
        session: &mut ClientSession,
        domain: Domain,
        targets: &[Target],
    ) -> Result<Outcomes> {
        let mut outcomes = Vec::new();
        let (mut updates, mut events) = (Vec::new(), Vec::new());
        for (target, stored) in self.read(session, domain, targets).await? {
            let planned = match &stored {
                Some(stored) => plan::present(domain, &target, stored),
                None => plan::absent(domain, &target),
            };
            let outcome = planned.map(|event| {
                if stored.is_some() {
                    updates.push(
                        doc! {"q": {"_id": target.id}, "u": {"$set": {"version": event.version}}},
                    );
                }
                events.push(event);
            });
            outcomes.push((target.id, outcome));
        }
        self.write(session, domain, updates, &events).await?;
        Ok(outcomes)
    }

    /// Each target with its document, if it has one; from the first on, until they are
    /// [`PAGE_BYTES`].
    async fn read(
        &self,
        session: &mut ClientSession,
        domain: Domain,
        targets: &[Target],
    ) -> Result<Vec<(Target, Option<RawDocumentBuf>)>> {
        let ids: Vec<Id> = targets.iter().map(|target| target.id).collect();
        let documents: Collection<RawDocumentBuf> = self.0.collection(domain.collection());
        let find = documents.find(doc! {"_id": {"$in": ids}});
        let find = find.projection(doc! {"password_hash": 0, "banking_info": 0});
        let find = find.sort(doc! {"_id": 1}).batch_size(20);
        let mut cursor = find.session(&mut *session).await?;
        let (mut found, mut bytes, mut read_to) = (HashMap::new(), 0, None);
        while let Some(stored) = cursor.next(&mut *session).await.transpose()? {
            if let Ok(id) = stored.get_object_id("_id") {
                bytes += stored.as_bytes().len();
                found.insert(Id::from(id), stored);
                if bytes > PAGE_BYTES {
                    read_to = Some(Id::from(id));
                    break;
                }
            }
        }
        let read = |target: &&Target| read_to.is_none_or(|last| target.id <= last);
        let read = targets.iter().filter(read);
        Ok(read.map(|target| (*target, found.remove(&target.id))).collect())
    }

    async fn write(
        &self,
        session: &mut ClientSession,
        domain: Domain,
        updates: Vec<bson::Document>,
        events: &[OutboxRecord],
    ) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let expected = updates.len();
        if expected > 0 {
            let command = doc! {"update": domain.collection(), "updates": updates};
            let answer = self.0.run_command(command).session(&mut *session).await?;
            // The transaction sees what it has read, so this says that something is odd.
            if answer.get_i32("n").ok().and_then(|n| usize::try_from(n).ok()) != Some(expected) {
                return Err(Error::custom(format!("not all documents were updated: {answer}")));
            }
        }
        let records = events.iter().map(OutboxRecord::to_bson);
        let outbox: Collection<RawDocumentBuf> = self.0.collection(outbox::COLLECTION);
        outbox.insert_many(records).session(session).await?;
        Ok(())
    }
}

//! Rows whose document is gone: its deletion never reached this MySQL.
//!
//! A row is there because its event was published, and an event is published only after a
//! majority has its document. So a row without a document, asked for after the row was
//! read, is one whose document was deleted, or lost by a restore of MongoDB. Products and
//! suppliers go as by the event of their deletion, but in the row's own version: whatever
//! comes later outranks it. The contract has no event that removes a user, an order, or a
//! post, so these rows are deleted as they are.

use chrono::NaiveDateTime;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Pool, Value};
use projector::decode::{Change, Content};
use projector::rebuild::NO_EVENT;
use projector::tables::Stamp;
use shared::Id;
use shared::event::Domain;

use super::ReplayError;
use super::rebuild::Rebuild;
use crate::patience::Patience;
use crate::servers;

/// Rows a round trip.
const PAGE: usize = 500;

/// A placeholder of a supplier goes once no product refers to it.
const CHILDREN_FIRST: [Domain; 5] =
    [Domain::Product, Domain::Supplier, Domain::Order, Domain::Post, Domain::User];

impl Rebuild<'_> {
    /// # Errors
    /// If a server refuses, or stays away; [`ReplayError::NoDocuments`] if MongoDB is empty,
    /// because then it is more likely the wrong database.
    pub async fn remove_leftovers(&mut self) -> Result<(), ReplayError> {
        let pool = servers::mysql(self.mysql);
        for domain in CHILDREN_FIRST {
            self.progress.stage(&format!("{} without a document", domain.collection()));
            let mut after = String::new();
            loop {
                let rows = page_after(&pool, domain, &after).await?;
                let Some(last) = rows.last() else {
                    break;
                };
                after.clone_from(&last.id);
                self.remove_those_without_document(&pool, domain, rows).await?;
            }
        }
        Ok(())
    }

    async fn remove_those_without_document(
        &mut self,
        pool: &Pool,
        domain: Domain,
        rows: Vec<Shown>,
    ) -> Result<(), ReplayError> {
        // An id that is no ObjectId was made by hand: `verify` names it.
        let rows: Vec<(Id, Shown)> =
            rows.into_iter().filter_map(|row| Some((row.id.parse().ok()?, row))).collect();
        let ids: Vec<Id> = rows.iter().map(|(id, _)| *id).collect();
        let present = self.documents.present(domain, &ids).await?;
        let gone: Vec<(Id, Shown)> =
            rows.into_iter().filter(|(id, _)| !present.contains(id)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        if self.outcome.documents == 0 {
            return Err(ReplayError::NoDocuments);
        }
        self.outcome.removed += gone.len() as u64;
        match domain {
            Domain::Product | Domain::Supplier => {
                let removal = |(id, row): (Id, Shown)| removal(domain, id, row);
                let removals: Vec<Change> = gone.into_iter().map(removal).collect();
                self.apply(domain, &removals).await?.map_err(ReplayError::Mysql)
            }
            Domain::User | Domain::Order | Domain::Post => delete(pool, domain, &gone).await,
        }
    }
}

fn removal(domain: Domain, entity: Id, row: Shown) -> Change {
    let stamp = Stamp {
        event_id: NO_EVENT.to_owned(),
        event_timestamp: row.event_timestamp,
        version: row.version,
    };
    Change { entity, stamp, content: Content::Deleted(domain) }
}

/// Which version of an entity a row shows.
struct Shown {
    id: String,
    version: i64,
    event_timestamp: NaiveDateTime,
}

async fn page_after(pool: &Pool, domain: Domain, after: &str) -> Result<Vec<Shown>, ReplayError> {
    let (table, key) = (domain.collection(), domain.id_key());
    // A placeholder stays as long as a product refers to it.
    let kept = match domain {
        Domain::Supplier => {
            "AND NOT (r.event_id = '' AND EXISTS \
             (SELECT 1 FROM products p WHERE p.supplier_id = r.supplier_id))"
        }
        _ => "",
    };
    let query = format!(
        "SELECT r.{key}, r.version, r.event_timestamp FROM {table} r \
         WHERE r.{key} > ? {kept} ORDER BY r.{key} LIMIT {PAGE}"
    );
    let rows: Vec<(String, i64, Value)> =
        patiently(async || pool.get_conn().await?.exec(&query, (after,)).await).await?;
    Ok(rows.into_iter().filter_map(shown).collect())
}

/// Those that have not changed since. An order's items go with it.
async fn delete(pool: &Pool, domain: Domain, gone: &[(Id, Shown)]) -> Result<(), ReplayError> {
    let (table, key) = (domain.collection(), domain.id_key());
    let places = vec!["(?, ?)"; gone.len()].join(", ");
    let statement = format!("DELETE FROM {table} WHERE ({key}, version) IN ({places})");
    let values = gone.iter().flat_map(|(_, row)| [row.id.as_str().into(), row.version.into()]);
    let values: Vec<Value> = values.collect();
    patiently(async || pool.get_conn().await?.exec_drop(&statement, &values).await).await
}

async fn patiently<T>(
    mut attempt: impl AsyncFnMut() -> mysql_async::Result<T>,
) -> Result<T, ReplayError> {
    let mut patience = Patience::with("MySQL");
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if servers::is_mysql_passing(&error) => {
                let waited = patience.wait(error).await;
                waited.map_err(|error| ReplayError::Mysql(error.to_string()))?;
            }
            Err(error) => return Err(ReplayError::Mysql(error.to_string())),
        }
    }
}

fn shown((id, version, moment): (String, i64, Value)) -> Option<Shown> {
    let Value::Date(year, month, day, hour, minute, second, micros) = moment else {
        return None;
    };
    let day = chrono::NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
    let event_timestamp =
        day.and_hms_micro_opt(hour.into(), minute.into(), second.into(), micros)?;
    Some(Shown { id, version, event_timestamp })
}

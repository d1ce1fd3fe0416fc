use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use shared::event::Domain;

use super::by_ids::{IDS_A_STATEMENT, by_ids};
use super::guarded::{Insert, Upsert};
use super::{Rank, text_literal};
use crate::database::Connection;
use crate::schema::{products, suppliers, tombstones};

/// What an event without a document said last about an entity; outlives the row.
#[derive(
    Debug, Clone, PartialEq, Serialize, Queryable, QueryableByName, Selectable, Insertable,
)]
#[diesel(table_name = tombstones, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct TombstoneRow {
    pub domain: String,
    pub entity_id: String,
    pub version: i64,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    /// The rank of the document under it, where the row is kept.
    pub content_version: Option<i64>,
    pub content_timestamp: Option<NaiveDateTime>,
}

/// As the tables' guard, but a newer statement leaves alone what is known of the
/// document under it.
const NEWER_WINS: &str = " ON DUPLICATE KEY UPDATE \
    event_id = IF(VALUES(version) > version OR (VALUES(version) = 0 AND version = 0 \
        AND VALUES(event_timestamp) > event_timestamp), VALUES(event_id), event_id), \
    event_timestamp = IF(VALUES(version) > version OR (VALUES(version) = 0 AND version = 0 \
        AND VALUES(event_timestamp) > event_timestamp), VALUES(event_timestamp), event_timestamp), \
    version = GREATEST(version, VALUES(version))";

impl Upsert for TombstoneRow {
    fn on_duplicate() -> &'static str {
        NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(tombstones::table).values(rows)
    }
}

impl TombstoneRow {
    pub(crate) fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    /// The rank of the document under it, if one is known.
    pub(crate) fn content_rank(&self) -> Option<Rank> {
        self.content_version
            .zip(self.content_timestamp)
            .map(|(version, moment)| Rank::new(version, moment))
    }

    /// Those of `ids` that have one, as others have committed them by now: a
    /// transaction that is about to commit one is waited for. Together with the rule
    /// that it deletes only afterwards, neither side can miss the other.
    pub(crate) async fn locked(
        connection: &mut Connection,
        domain: Domain,
        ids: &[&str],
    ) -> QueryResult<Vec<Self>> {
        let select = format!(
            "SELECT * FROM tombstones FORCE INDEX (PRIMARY) \
             WHERE domain = '{}' AND entity_id IN",
            domain.topic()
        );
        let mut found = Vec::new();
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let locking = by_ids(&select, ids, " FOR UPDATE");
            found.extend(locking.load::<Self>(connection).await?);
        }
        Ok(found)
    }

    /// A statement that fails, by a duplicate key, where [`Self::locked`] would find one, and
    /// otherwise does nothing: what follows it in the same text then happens only if there
    /// is none.
    pub(crate) fn none_of(domain: Domain, ids: &[&str]) -> String {
        let ids: Vec<_> = ids.iter().map(|id| text_literal(id)).collect();
        format!(
            "INSERT INTO tombstones SELECT * FROM tombstones FORCE INDEX (PRIMARY) \
             WHERE domain = '{}' AND entity_id IN ({}) FOR UPDATE",
            domain.topic(),
            ids.join(",")
        )
    }

    /// Removes tombstones that were `inferred_by` the absence of a document, where it is
    /// there now, in that version or a later one. Those of events stay.
    pub(crate) async fn forget_inferred(
        connection: &mut Connection,
        domain: Domain,
        inferred_by: &str,
        present: &[(String, i64)],
    ) -> QueryResult<()> {
        let ids: Vec<&str> = present.iter().map(|(id, _)| id.as_str()).collect();
        let found = Self::locked(connection, domain, &ids).await?;
        let is_void = |it: &&Self| {
            let there = present.iter().find(|(id, _)| *id == it.entity_id);
            it.event_id == inferred_by && there.is_some_and(|(_, version)| *version >= it.version)
        };
        let void: Vec<&str> =
            found.iter().filter(is_void).map(|it| it.entity_id.as_str()).collect();
        let delete =
            format!("DELETE FROM tombstones WHERE domain = '{}' AND entity_id IN", domain.topic());
        execute(connection, &delete, &void).await
    }

    /// Removes the rows that do not outrank their tombstone; products take their
    /// variants along, and suppliers leave NULL in products that are still there.
    pub(crate) async fn bury(
        connection: &mut Connection,
        domain: Domain,
        ids: &[&str],
    ) -> QueryResult<()> {
        for ids in ids.chunks(IDS_A_STATEMENT) {
            match domain {
                Domain::Supplier => bury_suppliers(connection, ids).await?,
                Domain::Product => bury_products(connection, ids).await?,
                // Their rows are kept.
                Domain::User | Domain::Order | Domain::Post => 0,
            };
        }
        Ok(())
    }
}

async fn bury_suppliers(connection: &mut Connection, ids: &[&str]) -> QueryResult<usize> {
    let outranked = tombstones::table
        .filter(tombstones::domain.eq(Domain::Supplier.topic()))
        .filter(tombstones::entity_id.eq(suppliers::supplier_id))
        .filter(
            tombstones::version.gt(suppliers::version).or(tombstones::version
                .eq(suppliers::version)
                .and(
                    tombstones::version
                        .gt(0)
                        .or(tombstones::event_timestamp.ge(suppliers::event_timestamp)),
                )),
        );
    let dead = suppliers::table
        .filter(suppliers::supplier_id.eq_any(ids))
        .filter(diesel::dsl::exists(outranked));
    diesel::delete(dead).execute(connection).await
}

async fn bury_products(connection: &mut Connection, ids: &[&str]) -> QueryResult<usize> {
    let outranked = tombstones::table
        .filter(tombstones::domain.eq(Domain::Product.topic()))
        .filter(tombstones::entity_id.eq(products::product_id))
        .filter(
            tombstones::version.gt(products::version).or(tombstones::version
                .eq(products::version)
                .and(
                    tombstones::version
                        .gt(0)
                        .or(tombstones::event_timestamp.ge(products::event_timestamp)),
                )),
        );
    let dead = products::table
        .filter(products::product_id.eq_any(ids))
        .filter(diesel::dsl::exists(outranked));
    diesel::delete(dead).execute(connection).await
}

/// What a statement without a document changes in a row that is kept.
///
/// The row shows its document with the statement laid over it. So that a document
/// that comes late still gets its place under the statement, the tombstone remembers
/// the rank of the document that lies there.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    pub domain: Domain,
    table: &'static str,
    key: &'static str,
    assignments: &'static str,
}

impl Statement {
    pub const USER_DELETED: Self = Self {
        domain: Domain::User,
        table: "users",
        key: "user_id",
        assignments: "r.deleted_at = t.event_timestamp",
    };
    pub const POST_DELETED: Self = Self {
        domain: Domain::Post,
        table: "posts",
        key: "post_id",
        assignments: "r.deleted_at = t.event_timestamp",
    };
    /// Of the older producer, which did not send the order along.
    pub const ORDER_CANCELLED: Self = Self {
        domain: Domain::Order,
        table: "orders",
        key: "order_id",
        assignments: "r.status = 'cancelled'",
    };

    /// Lays the tombstones of `ids` over the rows they outrank.
    pub(crate) async fn lay(self, connection: &mut Connection, ids: &[&str]) -> QueryResult<()> {
        let Self { table, key, assignments, .. } = self;
        let domain = self.domain.topic();
        let outranks = "(t.version > r.version OR (t.version = 0 AND r.version = 0 \
                        AND t.event_timestamp > r.event_timestamp))";
        // Two statements, because one that updates two tables assigns in no fixed order.
        let remember = format!(
            "UPDATE tombstones t JOIN {table} r ON r.{key} = t.entity_id \
             SET t.content_version = r.version, t.content_timestamp = r.event_timestamp \
             WHERE {outranks} AND t.domain = '{domain}' AND t.entity_id IN"
        );
        let lay = format!(
            "UPDATE {table} r JOIN tombstones t ON t.entity_id = r.{key} \
             SET {assignments}, r.updated_at = t.event_timestamp, r.event_id = t.event_id, \
             r.event_timestamp = t.event_timestamp, r.version = t.version \
             WHERE {outranks} AND t.domain = '{domain}' AND t.entity_id IN"
        );
        execute(connection, &remember, ids).await?;
        execute(connection, &lay, ids).await
    }

    /// Gives the rows of `ids` back the rank of the document under the tombstone, so
    /// that a document that came late can pass the guard. [`Self::lay`] must follow in
    /// the same transaction.
    pub(crate) async fn lift(self, connection: &mut Connection, ids: &[&str]) -> QueryResult<()> {
        let Self { table, key, .. } = self;
        let domain = self.domain.topic();
        let lift = format!(
            "UPDATE {table} r JOIN tombstones t ON t.entity_id = r.{key} \
             SET r.version = t.content_version, r.event_timestamp = t.content_timestamp \
             WHERE r.event_id = t.event_id AND t.content_version IS NOT NULL \
             AND t.domain = '{domain}' AND t.entity_id IN"
        );
        execute(connection, &lift, ids).await
    }
}

async fn execute(connection: &mut Connection, statement: &str, ids: &[&str]) -> QueryResult<()> {
    for ids in ids.chunks(IDS_A_STATEMENT) {
        by_ids(statement, ids, "").execute(connection).await?;
    }
    Ok(())
}

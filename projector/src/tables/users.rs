use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use shared::Timestamp;
use shared::document::User;

use super::guarded::{Guarded, IDS_A_STATEMENT, ROWS_A_STATEMENT, newer_wins};
use super::{Rank, Root, Stamp};
use crate::database::Connection;
use crate::schema::users;

#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = users, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct UserRow {
    pub user_id: String,
    pub email: String,
    pub phone: Option<String>,
    pub display_name: String,
    pub avatar: String,
    pub bio: Option<String>,
    pub deleted_at: Option<NaiveDateTime>,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub version: i64,
}

impl UserRow {
    /// The row that shows `document`, as of the event in `stamp`.
    pub fn from_document(document: &User, stamp: Stamp) -> Self {
        Self {
            user_id: document.id.to_string(),
            email: document.contact_info.primary_email.clone(),
            phone: document.contact_info.phone.clone(),
            display_name: document.profile.display_name.clone(),
            avatar: document.profile.avatar.clone(),
            bio: document.profile.bio.clone(),
            deleted_at: document.deleted_at.map(Timestamp::naive),
            created_at: document.created_at.naive(),
            updated_at: document.updated_at.naive(),
            event_id: stamp.event_id,
            event_timestamp: stamp.event_timestamp,
            version: stamp.version,
        }
    }

    /// Which event the row shows.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            event_id: self.event_id.clone(),
            event_timestamp: self.event_timestamp,
            version: self.version,
        }
    }
}

static NEWER_WINS: LazyLock<String> = LazyLock::new(|| newer_wins(&users::all_columns));

impl Root for UserRow {
    fn id(&self) -> &str {
        &self.user_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }

    async fn upsert(connection: &mut Connection, rows: &[Self]) -> QueryResult<usize> {
        // A lone row is the daily case, and as such its statement is prepared only once.
        if let [row] = rows {
            let insert = diesel::insert_into(users::table).values(row);
            return Guarded::new(insert, &NEWER_WINS).execute(connection).await;
        }
        let mut affected = 0;
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            let insert = diesel::insert_into(users::table).values(rows);
            affected += Guarded::new(insert, &NEWER_WINS).execute(connection).await?;
        }
        Ok(affected)
    }

    async fn shown(
        connection: &mut Connection,
        ids: &[&str],
    ) -> QueryResult<Vec<(String, String)>> {
        let mut shown = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let query = users::table
                .filter(users::user_id.eq_any(ids))
                .select((users::user_id, users::event_id));
            shown.extend(query.load::<(String, String)>(connection).await?);
        }
        Ok(shown)
    }
}

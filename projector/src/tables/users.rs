use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;
use shared::Timestamp;
use shared::document::User;
use shared::event::Domain;

use super::guarded::{Insert, Upsert, newer_wins};
use super::{Rank, Root, Stamp};
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

impl Upsert for UserRow {
    fn on_duplicate() -> &'static str {
        &NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(users::table).values(rows)
    }
}

impl Root for UserRow {
    const DOMAIN: Domain = Domain::User;

    fn id(&self) -> &str {
        &self.user_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }
}

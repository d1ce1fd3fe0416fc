use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;
use shared::Timestamp;
use shared::document::User;

use super::Stamp;
use crate::schema::users;

#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = users, check_for_backend(diesel::mysql::Mysql))]
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

use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;
use shared::Timestamp;
use shared::document::Post;
use shared::event::Domain;

use super::guarded::{Insert, Upsert, newer_wins};
use super::{Rank, Root, Stamp, json, text};
use crate::schema::posts;

#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = posts, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct PostRow {
    pub post_id: String,
    pub post_type: String,
    pub author_user_id: String,
    pub author_display_name: String,
    pub author_avatar: String,
    pub author_type: String,
    pub text_content: String,
    pub media_json: Option<Value>,
    pub link_url: Option<String>,
    pub link_title: Option<String>,
    pub link_description: Option<String>,
    pub link_image: Option<String>,
    pub link_site_name: Option<String>,
    pub view_count: i64,
    pub like_count: i64,
    pub comment_count: i64,
    pub share_count: i64,
    pub save_count: i64,
    pub engagement_rate: f64,
    pub last_comment_at: Option<NaiveDateTime>,
    pub deleted_at: Option<NaiveDateTime>,
    pub published_at: Option<NaiveDateTime>,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub version: i64,
}

impl PostRow {
    /// The row that shows `document`, as of the event in `stamp`.
    pub fn from_document(document: &Post, stamp: Stamp) -> Self {
        let link = document.link_preview.as_ref();
        Self {
            post_id: document.id.to_string(),
            post_type: text(&document.post_type),
            author_user_id: document.author.user_id.to_string(),
            author_display_name: document.author.display_name.clone(),
            author_avatar: document.author.avatar.clone(),
            author_type: text(&document.author.author_type),
            text_content: document.text_content.clone(),
            media_json: (!document.media.is_empty()).then(|| json(&document.media)),
            link_url: link.map(|link| link.url.clone()),
            link_title: link.map(|link| link.title.clone()),
            link_description: link.and_then(|link| link.description.clone()),
            link_image: link.and_then(|link| link.image.clone()),
            link_site_name: link.and_then(|link| link.site_name.clone()),
            view_count: document.stats.view_count,
            like_count: document.stats.like_count,
            comment_count: document.stats.comment_count,
            share_count: document.stats.share_count,
            save_count: document.stats.save_count,
            engagement_rate: document.stats.engagement_rate,
            last_comment_at: document.stats.last_comment_at.map(Timestamp::naive),
            deleted_at: document.deleted_at.map(Timestamp::naive),
            published_at: document.published_at.map(Timestamp::naive),
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

static NEWER_WINS: LazyLock<String> = LazyLock::new(|| newer_wins(&posts::all_columns));

impl Upsert for PostRow {
    fn on_duplicate() -> &'static str {
        &NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(posts::table).values(rows)
    }
}

impl Root for PostRow {
    const DOMAIN: Domain = Domain::Post;

    fn id(&self) -> &str {
        &self.post_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }
}

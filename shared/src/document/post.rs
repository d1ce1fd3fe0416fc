use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{MAX_TEXT, MAX_URL};
use crate::event::Domain;
use crate::{Id, Timestamp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Post {
    #[serde(alias = "_id")]
    pub id: Id,
    #[serde(default)]
    pub version: i64,
    pub post_type: PostType,
    pub author: Author,
    pub text_content: String,
    #[serde(default)]
    pub media: Vec<Media>,
    #[serde(default)]
    pub link_preview: Option<LinkPreview>,
    #[serde(default)]
    pub stats: PostStats,
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// Absent while the post is a draft.
    #[serde(default)]
    pub published_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The author as of the moment of the post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Author {
    pub user_id: Id,
    pub display_name: String,
    pub avatar: String,
    #[serde(default)]
    pub author_type: AuthorType,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorType {
    #[default]
    User,
    /// Written only by the Python system; still read.
    Leader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostType {
    Text,
    Image,
    Video,
    Link,
    Poll,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Media {
    #[garde(skip)]
    pub media_type: MediaType,
    #[garde(length(chars, max = MAX_URL))]
    pub media_url: String,
    #[serde(default)]
    #[garde(length(chars, max = MAX_URL))]
    pub thumbnail_url: Option<String>,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub width: Option<i64>,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub height: Option<i64>,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub duration_seconds: Option<i64>,
    #[serde(default)]
    #[garde(range(min = 0))]
    pub size_bytes: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaType {
    Image,
    Video,
    Gif,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct LinkPreview {
    #[garde(length(chars, max = MAX_URL))]
    pub url: String,
    #[garde(length(chars, max = 200))]
    pub title: String,
    #[serde(default)]
    #[garde(length(chars, max = 500))]
    pub description: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_URL))]
    pub image: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub site_name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PostStats {
    pub view_count: i64,
    pub like_count: i64,
    pub comment_count: i64,
    pub share_count: i64,
    pub save_count: i64,
    pub engagement_rate: f64,
    pub last_comment_at: Option<Timestamp>,
}

super::aggregate!(Post, Domain::Post, |post| post.deleted_at.is_some());

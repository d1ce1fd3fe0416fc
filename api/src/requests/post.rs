use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::rules::MAX_URL;
use shared::document::{
    Author, AuthorType, DEFAULT_AVATAR, FIRST_VERSION, LinkPreview, Media, Post, PostStats,
    PostType, User,
};
use shared::{Id, Timestamp};

use super::rules::{nullable, replace};

#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
pub struct CreatePost {
    #[garde(skip)]
    pub post_type: PostType,
    #[garde(length(chars, min = 1, max = 5000))]
    pub text_content: String,
    #[serde(default)]
    #[garde(length(max = 10), dive)]
    pub media: Vec<Media>,
    #[garde(dive)]
    pub link_preview: Option<LinkPreview>,
    #[serde(default)]
    #[garde(skip)]
    pub is_draft: bool,
}

impl CreatePost {
    /// A post by `user`, published now unless it is a draft.
    pub fn into_document(self, user: &User, now: Timestamp) -> Post {
        Post {
            id: Id::new(),
            version: FIRST_VERSION,
            post_type: self.post_type,
            author: Author {
                user_id: user.id,
                display_name: user.profile.display_name.clone(),
                avatar: copied(&user.profile.avatar).to_owned(),
                author_type: AuthorType::User,
            },
            text_content: self.text_content,
            media: self.media,
            link_preview: self.link_preview,
            stats: PostStats::default(),
            deleted_at: None,
            published_at: (!self.is_draft).then_some(now),
            created_at: now,
            updated_at: now,
        }
    }
}

/// The picture as a post keeps it. One that was stored before there was a limit may be as
/// long as a request, and each post would write it three times.
fn copied(avatar: &str) -> &str {
    if avatar.chars().count() <= MAX_URL { avatar } else { DEFAULT_AVATAR }
}

/// Only what is given changes. Null clears what may be empty and leaves the rest.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct UpdatePost {
    #[garde(length(chars, min = 1, max = 5000))]
    pub text_content: Option<String>,
    #[garde(length(max = 10), dive)]
    pub media: Option<Vec<Media>>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(dive)]
    pub link_preview: Option<Option<LinkPreview>>,
}

impl UpdatePost {
    pub fn apply(&self, post: &mut Post) {
        replace(&mut post.text_content, &self.text_content);
        replace(&mut post.media, &self.media);
        replace(&mut post.link_preview, &self.link_preview);
    }
}

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Domain;
use crate::{Id, Timestamp};

/// What a profile shows until the user picks a picture.
pub const DEFAULT_AVATAR: &str = "https://cdn.example.com/avatars/default.jpg";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    #[serde(alias = "_id")]
    pub id: Id,
    #[serde(default)]
    pub version: i64,
    pub contact_info: UserContact,
    pub profile: Profile,
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserContact {
    /// Trimmed and lower-cased: the form in which it is unique.
    pub primary_email: String,
    #[serde(default)]
    pub additional_emails: Vec<String>,
    #[serde(default)]
    pub phone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    pub display_name: String,
    #[serde(default = "default_avatar")]
    pub avatar: String,
    #[serde(default)]
    pub bio: Option<String>,
    #[serde(default)]
    pub date_of_birth: Option<Timestamp>,
}

fn default_avatar() -> String {
    DEFAULT_AVATAR.to_owned()
}

super::aggregate!(User, Domain::User, |user| user.deleted_at.is_some());

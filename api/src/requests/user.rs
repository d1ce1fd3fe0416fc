use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::rules::{MAX_URL, email};
use shared::document::{DEFAULT_AVATAR, FIRST_VERSION, Profile, User, UserContact};
use shared::{Id, Timestamp};

use super::rules::{nullable, replace, trimmed, trimmed_if_given};

#[derive(Serialize, Deserialize, Validate, JsonSchema)]
pub struct CreateUser {
    #[serde(deserialize_with = "email")]
    #[garde(email, length(chars, max = 254))]
    pub email: String,
    #[serde(skip_serializing)]
    #[garde(length(chars, min = 8, max = 128))]
    pub password: String,
    #[serde(deserialize_with = "trimmed")]
    #[garde(length(chars, min = 1, max = 100))]
    pub display_name: String,
    #[garde(length(chars, max = 20))]
    pub phone: Option<String>,
    #[garde(length(chars, max = 500))]
    pub bio: Option<String>,
}

impl CreateUser {
    /// The new document. The password is no part of it.
    pub fn into_document(self, now: Timestamp) -> User {
        User {
            id: Id::new(),
            version: FIRST_VERSION,
            contact_info: UserContact {
                primary_email: self.email,
                additional_emails: Vec::new(),
                phone: self.phone,
            },
            profile: Profile {
                display_name: self.display_name,
                avatar: DEFAULT_AVATAR.to_owned(),
                bio: self.bio,
                date_of_birth: None,
            },
            deleted_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Only what is given changes. Null clears what may be empty and leaves the rest.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct UpdateUser {
    #[serde(default, deserialize_with = "trimmed_if_given")]
    #[garde(length(chars, min = 1, max = 100))]
    pub display_name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = 20))]
    pub phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = 500))]
    pub bio: Option<Option<String>>,
    #[garde(length(chars, max = MAX_URL))]
    pub avatar: Option<String>,
}

impl UpdateUser {
    pub fn apply(&self, user: &mut User) {
        replace(&mut user.profile.display_name, &self.display_name);
        replace(&mut user.contact_info.phone, &self.phone);
        replace(&mut user.profile.bio, &self.bio);
        replace(&mut user.profile.avatar, &self.avatar);
    }
}

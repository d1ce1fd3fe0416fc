use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use shared::document::rules::email;

use crate::auth::AccountKind;

/// The rules of a sign-up: what breaks them is no account's.
#[derive(Deserialize, Validate, JsonSchema)]
pub struct Login {
    #[serde(deserialize_with = "email")]
    #[garde(email, length(chars, max = 254))]
    pub email: String,
    #[garde(length(chars, min = 1, max = 128))]
    pub password: String,
    #[serde(default)]
    #[garde(skip)]
    pub account_type: AccountKind,
}

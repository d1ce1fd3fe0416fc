//! What lies beside a document in MongoDB and never leaves it with an event.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::rules::MAX_TEXT;

/// For the aggregates that keep none.
#[derive(Serialize)]
pub struct NoSecrets {}

#[derive(Serialize)]
pub struct UserSecrets {
    pub password_hash: String,
}

#[derive(Serialize)]
pub struct SupplierSecrets {
    pub password_hash: String,
    pub banking_info: Option<BankingInfo>,
}

/// Answered only to the supplier itself.
#[derive(Clone, Serialize, Deserialize, Validate, JsonSchema)]
pub struct BankingInfo {
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub bank_name: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub account_holder_name: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub account_number_last4: Option<String>,
}

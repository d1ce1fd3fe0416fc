//! What lies beside a document in MongoDB and never leaves it with an event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct BankingInfo {
    #[serde(default)]
    pub bank_name: Option<String>,
    #[serde(default)]
    pub account_holder_name: Option<String>,
    #[serde(default)]
    pub account_number_last4: Option<String>,
}

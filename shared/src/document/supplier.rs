use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{self, MAX_EMAILS, MAX_TEXT, MAX_URL};
use crate::event::Domain;
use crate::{Id, Timestamp};

/// A supplier without its secrets: `password_hash` and `banking_info` lie beside
/// these fields in MongoDB and are not part of the type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Supplier {
    #[serde(alias = "_id")]
    pub id: Id,
    #[serde(default)]
    pub version: i64,
    pub contact_info: SupplierContact,
    pub company_info: CompanyInfo,
    #[serde(default)]
    pub business_info: BusinessInfo,
    /// Back-reference, kept in the transaction of the product that causes it,
    /// without an event and without a new version of the supplier.
    #[serde(default)]
    pub product_ids: Vec<Id>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct SupplierContact {
    /// Trimmed and lower-cased: the form in which it is unique.
    #[serde(deserialize_with = "rules::email")]
    #[garde(email, length(chars, max = 254))]
    pub primary_email: String,
    #[serde(default)]
    #[garde(length(max = MAX_EMAILS), inner(length(chars, max = MAX_TEXT)))]
    pub additional_emails: Vec<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub primary_phone: String,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub contact_person_name: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub contact_person_title: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub contact_person_email: Option<String>,
    #[serde(default)]
    #[garde(length(chars, max = MAX_TEXT))]
    pub contact_person_phone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct CompanyInfo {
    #[garde(length(chars, min = 2, max = 200))]
    pub legal_name: String,
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    pub dba_name: Option<String>,
    #[garde(dive)]
    pub business_address: Address,
    #[serde(default)]
    #[garde(dive)]
    pub shipping_address: Option<Address>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
pub struct Address {
    #[garde(length(chars, min = 1, max = 200))]
    pub street_address_1: String,
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    pub street_address_2: Option<String>,
    #[garde(length(chars, min = 1, max = 100))]
    pub city: String,
    #[garde(length(chars, min = 1, max = 100))]
    pub state: String,
    #[garde(length(chars, min = 1, max = 20))]
    pub zip_code: String,
    /// ISO 3166 alpha-2, upper-case.
    #[serde(deserialize_with = "rules::upper_case")]
    #[garde(length(chars, equal = 2))]
    pub country: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default)]
pub struct BusinessInfo {
    #[garde(length(chars, max = MAX_URL))]
    pub facebook_url: Option<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub instagram_handle: Option<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub twitter_handle: Option<String>,
    #[garde(length(chars, max = MAX_URL))]
    pub linkedin_url: Option<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub timezone: Option<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub support_email: Option<String>,
    #[garde(length(chars, max = MAX_TEXT))]
    pub support_phone: Option<String>,
}

super::aggregate!(Supplier, Domain::Supplier, |_| false);

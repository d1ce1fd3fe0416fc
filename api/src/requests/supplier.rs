use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::document::rules::MAX_TEXT;
use shared::document::{BusinessInfo, CompanyInfo, FIRST_VERSION, Supplier, SupplierContact};
use shared::{Id, Timestamp};

use super::rules::{nullable, replace};
use crate::store::BankingInfo;

#[derive(Serialize, Deserialize, Validate, JsonSchema)]
pub struct CreateSupplier {
    #[serde(skip_serializing)]
    #[garde(length(chars, min = 8, max = 128))]
    pub password: String,
    #[garde(dive)]
    pub contact_info: SupplierContact,
    #[garde(dive)]
    pub company_info: CompanyInfo,
    #[garde(dive)]
    pub business_info: Option<BusinessInfo>,
    #[garde(dive)]
    pub banking_info: Option<BankingInfo>,
}

impl CreateSupplier {
    /// The new document. Password and bank details are no part of it.
    pub fn into_document(self, now: Timestamp) -> Supplier {
        Supplier {
            id: Id::new(),
            version: FIRST_VERSION,
            contact_info: self.contact_info,
            company_info: self.company_info,
            business_info: self.business_info.unwrap_or_default(),
            product_ids: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// Only what is given changes. Null clears what may be empty and leaves the rest.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
pub struct UpdateSupplier {
    #[garde(length(chars, max = MAX_TEXT))]
    pub primary_phone: Option<String>,
    #[garde(length(chars, min = 2, max = 200))]
    pub legal_name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = 200))]
    pub dba_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = MAX_TEXT))]
    pub support_email: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[garde(length(chars, max = MAX_TEXT))]
    pub support_phone: Option<Option<String>>,
}

impl UpdateSupplier {
    pub fn apply(&self, supplier: &mut Supplier) {
        replace(&mut supplier.contact_info.primary_phone, &self.primary_phone);
        replace(&mut supplier.company_info.legal_name, &self.legal_name);
        replace(&mut supplier.company_info.dba_name, &self.dba_name);
        replace(&mut supplier.business_info.support_email, &self.support_email);
        replace(&mut supplier.business_info.support_phone, &self.support_phone);
    }
}

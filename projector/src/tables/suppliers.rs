use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use serde::Serialize;
use shared::document::Supplier;
use shared::event::Domain;

use super::guarded::{Insert, Upsert, newer_wins};
use super::{Rank, Root, Stamp};
use crate::schema::suppliers;

#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = suppliers, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct SupplierRow {
    pub supplier_id: String,
    pub email: String,
    pub primary_phone: String,
    pub contact_person_name: Option<String>,
    pub contact_person_title: Option<String>,
    pub contact_person_email: Option<String>,
    pub contact_person_phone: Option<String>,
    pub legal_name: String,
    pub dba_name: Option<String>,
    pub street_address_1: String,
    pub street_address_2: Option<String>,
    pub city: String,
    pub state: String,
    pub zip_code: String,
    pub country: String,
    pub support_email: Option<String>,
    pub support_phone: Option<String>,
    pub facebook_url: Option<String>,
    pub instagram_handle: Option<String>,
    pub twitter_handle: Option<String>,
    pub linkedin_url: Option<String>,
    pub timezone: Option<String>,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub version: i64,
}

impl SupplierRow {
    /// The row that shows `document`, as of the event in `stamp`.
    pub fn from_document(document: &Supplier, stamp: Stamp) -> Self {
        let contact = &document.contact_info;
        let company = &document.company_info;
        let address = &company.business_address;
        let business = &document.business_info;
        Self {
            supplier_id: document.id.to_string(),
            email: contact.primary_email.clone(),
            primary_phone: contact.primary_phone.clone(),
            contact_person_name: contact.contact_person_name.clone(),
            contact_person_title: contact.contact_person_title.clone(),
            contact_person_email: contact.contact_person_email.clone(),
            contact_person_phone: contact.contact_person_phone.clone(),
            legal_name: company.legal_name.clone(),
            dba_name: company.dba_name.clone(),
            street_address_1: address.street_address_1.clone(),
            street_address_2: address.street_address_2.clone(),
            city: address.city.clone(),
            state: address.state.clone(),
            zip_code: address.zip_code.clone(),
            country: address.country.clone(),
            support_email: business.support_email.clone(),
            support_phone: business.support_phone.clone(),
            facebook_url: business.facebook_url.clone(),
            instagram_handle: business.instagram_handle.clone(),
            twitter_handle: business.twitter_handle.clone(),
            linkedin_url: business.linkedin_url.clone(),
            timezone: business.timezone.clone(),
            created_at: document.created_at.naive(),
            updated_at: document.updated_at.naive(),
            event_id: stamp.event_id,
            event_timestamp: stamp.event_timestamp,
            version: stamp.version,
        }
    }

    /// Stands for a supplier whose own event has not come yet, so that its
    /// products can refer to it. Older than any event.
    pub fn placeholder(supplier_id: &str) -> Self {
        let before_all = chrono::DateTime::UNIX_EPOCH.naive_utc();
        Self {
            supplier_id: supplier_id.to_owned(),
            email: String::new(),
            primary_phone: String::new(),
            contact_person_name: None,
            contact_person_title: None,
            contact_person_email: None,
            contact_person_phone: None,
            legal_name: String::new(),
            dba_name: None,
            street_address_1: String::new(),
            street_address_2: None,
            city: String::new(),
            state: String::new(),
            zip_code: String::new(),
            country: String::new(),
            support_email: None,
            support_phone: None,
            facebook_url: None,
            instagram_handle: None,
            twitter_handle: None,
            linkedin_url: None,
            timezone: None,
            created_at: before_all,
            updated_at: before_all,
            event_id: String::new(),
            event_timestamp: before_all,
            version: 0,
        }
    }

    /// Whether no event of this supplier has come yet.
    pub fn is_placeholder(&self) -> bool {
        self.event_id.is_empty()
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

static NEWER_WINS: LazyLock<String> = LazyLock::new(|| newer_wins(&suppliers::all_columns));

impl Upsert for SupplierRow {
    fn on_duplicate() -> &'static str {
        &NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(suppliers::table).values(rows)
    }
}

impl Root for SupplierRow {
    const DOMAIN: Domain = Domain::Supplier;

    fn id(&self) -> &str {
        &self.supplier_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }
}

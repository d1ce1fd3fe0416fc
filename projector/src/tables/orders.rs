use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;
use shared::document::Order;
use shared::event::Domain;

use super::guarded::{Insert, Upsert, newer_wins};
use super::{Rank, Root, Stamp};
use crate::database::Connection;
use crate::schema::orders;

#[derive(Debug, Clone, PartialEq, Serialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = orders, check_for_backend(diesel::mysql::Mysql), treat_none_as_default_value = false)]
pub struct OrderRow {
    pub order_id: String,
    pub order_number: String,
    pub customer_user_id: String,
    pub customer_display_name: String,
    pub customer_email: String,
    pub customer_phone: Option<String>,
    pub shipping_recipient_name: String,
    pub shipping_phone: Option<String>,
    pub shipping_street_1: String,
    pub shipping_street_2: Option<String>,
    pub shipping_city: String,
    pub shipping_state: String,
    pub shipping_zip_code: String,
    pub shipping_country: String,
    pub status: String,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
    pub event_id: String,
    pub event_timestamp: NaiveDateTime,
    pub version: i64,
}

impl OrderRow {
    /// The row that shows `document`, as of the event in `stamp`.
    pub fn from_document(document: &Order, stamp: Stamp) -> Self {
        let customer = &document.customer;
        let shipping = &document.shipping_address;
        Self {
            order_id: document.id.to_string(),
            order_number: document.order_number.clone(),
            customer_user_id: customer.user_id.to_string(),
            customer_display_name: customer.display_name.clone(),
            customer_email: customer.email.clone(),
            customer_phone: customer.phone.clone(),
            shipping_recipient_name: shipping.recipient_name.clone(),
            shipping_phone: shipping.phone.clone(),
            shipping_street_1: shipping.street_address_1.clone(),
            shipping_street_2: shipping.street_address_2.clone(),
            shipping_city: shipping.city.clone(),
            shipping_state: shipping.state.clone(),
            shipping_zip_code: shipping.zip_code.clone(),
            shipping_country: shipping.country.clone(),
            status: document.status.as_str().to_owned(),
            created_at: document.created_at.naive(),
            updated_at: document.updated_at.naive(),
            event_id: stamp.event_id,
            event_timestamp: stamp.event_timestamp,
            version: stamp.version,
        }
    }

    /// Whether the number is that of another order.
    pub(crate) async fn is_number_taken(&self, connection: &mut Connection) -> QueryResult<bool> {
        let others = orders::table
            .filter(orders::order_number.eq(&self.order_number))
            .filter(orders::order_id.ne(&self.order_id));
        let found: Vec<String> = others.select(orders::order_id).limit(1).load(connection).await?;
        Ok(!found.is_empty())
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

static NEWER_WINS: LazyLock<String> = LazyLock::new(|| newer_wins(&orders::all_columns));

impl Upsert for OrderRow {
    fn on_duplicate() -> &'static str {
        &NEWER_WINS
    }

    fn insert<const N: usize>(rows: &[Self; N]) -> impl Insert {
        diesel::insert_into(orders::table).values(rows)
    }
}

impl Root for OrderRow {
    const DOMAIN: Domain = Domain::Order;

    fn id(&self) -> &str {
        &self.order_id
    }

    fn rank(&self) -> Rank {
        Rank::new(self.version, self.event_timestamp)
    }

    fn event_id(&self) -> &str {
        &self.event_id
    }
}

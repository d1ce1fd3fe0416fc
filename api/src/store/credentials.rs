//! What a login is checked against.

use mongodb::bson::{Bson, doc};
use serde::Deserialize;
use shared::{Id, Timestamp};

use super::{Constraint, Store};
use crate::auth::AccountKind;
use crate::http::ApiError;

/// An account's password hash. Goes into no answer, event or log line.
pub struct Credentials {
    pub id: Id,
    pub password_hash: String,
    pub is_deleted: bool,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_id")]
    id: Id,
    #[serde(default)]
    password_hash: Option<String>,
    #[serde(default)]
    deleted_at: Option<Timestamp>,
}

impl Store {
    /// Those of the account with this e-mail address, which is trimmed and in lower case.
    /// An account without a password is none that one can log in to.
    pub async fn credentials(
        &self,
        kind: AccountKind,
        email: &str,
    ) -> Result<Option<Credentials>, ApiError> {
        let accounts = self.typed::<Stored>(kind.domain().collection());
        let field = match kind {
            AccountKind::User => Constraint::UserEmail.field(),
            AccountKind::Supplier => Constraint::SupplierEmail.field(),
        };
        let filter = doc! { field: email };
        let query = async move {
            let account = accounts.find_one(filter);
            Ok(account.projection(doc! { "password_hash": 1, "deleted_at": 1 }).await?)
        };
        let found = self.in_time(query).await?;
        Ok(found.and_then(|stored| {
            Some(Credentials {
                id: stored.id,
                password_hash: stored.password_hash?,
                is_deleted: stored.deleted_at.is_some(),
            })
        }))
    }

    /// Puts a new hash of the same password in the place of the old one; does nothing
    /// where the hash is another one by now.
    ///
    /// The one write beside [`Store::commit`]: secrets are no part of the document, so
    /// this makes no event, and no version either. A version without an event would be a
    /// gap for every reader of the events.
    pub async fn renew_hash(
        &self,
        kind: AccountKind,
        known: &Credentials,
        hash: &str,
    ) -> Result<(), ApiError> {
        let accounts = self.documents(kind.domain());
        let filter = doc! { "_id": known.id, "password_hash": &known.password_hash };
        let update = doc! { "$set": { "password_hash": Bson::from(hash) } };
        self.in_time(async move { Ok(accounts.update_one(filter, update).await?) }).await.map(drop)
    }
}

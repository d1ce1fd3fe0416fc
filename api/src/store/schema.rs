use std::sync::atomic::Ordering;
use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document as Keys, doc};
use mongodb::error::Result;
use mongodb::options::IndexOptions;
use shared::event::Domain;

use super::{Constraint, Store, once};

/// Where the Python system kept its users.
const LEGACY_USERS: &str = "User";

impl Store {
    /// Takes over a database of the Python system if it is one, and creates the
    /// collections and indexes that are missing. Any number of instances may do it
    /// at once, any number of times.
    ///
    /// # Errors
    /// Where MongoDB is away, or an existing database breaks a unique index.
    pub async fn prepare(&self) -> Result<()> {
        self.take_over_legacy_users().await?;
        for domain in Domain::ALL {
            let indexes = indexes(domain);
            self.documents(domain).create_indexes(indexes).await?;
        }
        let keys = self.collection(once::COLLECTION);
        keys.create_index(forgotten_after_a_day()).await?;
        // A transaction may create a collection, but two at once that do conflict.
        self.create_outbox().await?;
        self.prepared.store(true, Ordering::Release);
        Ok(())
    }

    async fn take_over_legacy_users(&self) -> Result<()> {
        let collections = self.database.list_collection_names().await?;
        let exists = |name: &str| collections.iter().any(|collection| collection == name);
        if !exists(LEGACY_USERS) || exists(Domain::User.collection()) {
            return Ok(());
        }
        let full_name = |name: &str| format!("{}.{name}", self.database.name());
        let rename = doc! {
            "renameCollection": full_name(LEGACY_USERS),
            "to": full_name(Domain::User.collection()),
        };
        self.client.database("admin").run_command(rename).await?;
        tracing::warn!(from = LEGACY_USERS, to = Domain::User.collection(), "took over users");
        Ok(())
    }

    async fn create_outbox(&self) -> Result<()> {
        const NAMESPACE_EXISTS: i32 = 48;
        match self.database.create_collection(shared::outbox::COLLECTION).await {
            Err(error) => match &*error.kind {
                mongodb::error::ErrorKind::Command(command) if command.code == NAMESPACE_EXISTS => {
                    Ok(())
                }
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }
}

/// Every filter and sort of the lists is served by one of these.
fn indexes(domain: Domain) -> Vec<IndexModel> {
    match domain {
        Domain::User => {
            vec![unique(Constraint::UserEmail, doc! { "contact_info.primary_email": 1 })]
        }
        Domain::Supplier => {
            vec![unique(Constraint::SupplierEmail, doc! { "contact_info.primary_email": 1 })]
        }
        Domain::Product => vec![
            index(doc! { "status": 1, "created_at": -1, "_id": -1 }),
            index(doc! { "category": 1, "created_at": -1, "_id": -1 }),
            index(doc! { "supplier_id": 1, "created_at": -1, "_id": -1 }),
            index(doc! { "created_at": -1, "_id": -1 }),
        ],
        Domain::Order => vec![
            unique(Constraint::OrderNumber, doc! { "order_number": 1 }),
            index(doc! { "customer.user_id": 1, "created_at": -1, "_id": -1 }),
        ],
        Domain::Post => vec![
            index(doc! { "published_at": -1, "_id": -1 }),
            index(doc! { "author.user_id": 1, "published_at": -1, "_id": -1 }),
        ],
    }
}

fn index(keys: Keys) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

/// The server takes a key away some time after this.
fn forgotten_after_a_day() -> IndexModel {
    let options = IndexOptions::builder().expire_after(Duration::from_secs(24 * 60 * 60)).build();
    IndexModel::builder().keys(doc! { "created_at": 1 }).options(options).build()
}

fn unique(constraint: Constraint, keys: Keys) -> IndexModel {
    let options =
        IndexOptions::builder().unique(true).name(constraint.index_name().to_owned()).build();
    IndexModel::builder().keys(keys).options(options).build()
}

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use mongodb::bson::doc;
use schemars::JsonSchema;
use serde::Serialize;
use shared::Id;
use shared::document::{Document, Product, ProductAction, ProductStatus, Supplier};
use shared::event::EventType;

use super::{App, crowded, make_once, taken};
use crate::auth::{Account, AccountKind};
use crate::http::{
    ApiError, Body, Created, Creation, Deleted, EntityId, Found, Listed, MaybeCallingSupplier,
    Query, Written,
};
use crate::openapi::Routes;
use crate::requests::{CreateSupplier, ListAll, UpdateSupplier};
use crate::store::{
    Attempt, BankingInfo, Cause, Committed, Listing, Order, Store, SupplierSecrets, Write,
};

pub fn routes(api: Routes) -> Routes {
    api.get("/suppliers", list, "The suppliers, in the order in which they signed up")
        .post("/suppliers", create, "Sign a supplier up")
        .refuses([taken(), crowded()])
        .get("/suppliers/{id}", read, "One supplier; bank details for itself alone")
        .patch("/suppliers/{id}", update, "Change a supplier: only what is given changes")
        .by_itself(AccountKind::Supplier)
        .delete("/suppliers/{id}", delete, "Remove a supplier, and its products with it")
        .by_itself(AccountKind::Supplier)
}

/// A supplier as it is answered. Bank details are there for the supplier itself and
/// null for everybody else.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Supplier")]
struct Answer {
    #[serde(flatten)]
    supplier: Supplier,
    banking_info: Option<BankingInfo>,
}

impl Answer {
    fn to_anybody(supplier: Supplier) -> Self {
        Self { supplier, banking_info: None }
    }

    async fn to(caller: Option<Id>, supplier: Supplier, store: &Store) -> Result<Self, ApiError> {
        if caller == Some(supplier.id) {
            let banking_info = store.banking_info(supplier.id).await?;
            return Ok(Self { supplier, banking_info });
        }
        Ok(Self::to_anybody(supplier))
    }
}

async fn create(
    State(app): State<App>,
    cause: Cause,
    Creation { mut request, once }: Creation<CreateSupplier>,
) -> Result<Created<Answer>, ApiError> {
    let make = async {
        let password_hash = app.passwords.hash(std::mem::take(&mut request.password)).await?;
        let banking_info = request.banking_info.take();
        let mut write = Write::new(&cause);
        let supplier = request.into_document(write.moment);
        let secrets = SupplierSecrets { password_hash, banking_info: banking_info.clone() };
        write.create(&supplier, &secrets, EventType::SupplierCreated)?;
        let answer = Answer { supplier, banking_info };
        write.remember(&once, &answer)?;
        let committed = app.store.commit(write).await?;
        Ok(Written::created(answer, committed))
    };
    make_once(&app.store, &once, make).await
}

async fn list(
    State(app): State<App>,
    uri: Uri,
    Query(page, ListAll {}): Query<ListAll>,
) -> Result<Listed<Answer>, ApiError> {
    let Listing { documents, next, room } = app.store.list(doc! {}, Order::ById, page).await?;
    let documents = documents.into_iter().map(Answer::to_anybody).collect();
    Ok(Listed::new(&uri, Listing { documents, next, room }))
}

async fn read(
    State(app): State<App>,
    EntityId(id): EntityId,
    MaybeCallingSupplier(caller): MaybeCallingSupplier,
) -> Result<Found<Answer>, ApiError> {
    let supplier: Supplier = app.store.get(id).await?;
    let version = supplier.version;
    let answer = Answer::to(caller, supplier, &app.store).await?;
    Ok(Found::version(version, answer))
}

async fn update(
    State(app): State<App>,
    EntityId(id): EntityId,
    MaybeCallingSupplier(caller): MaybeCallingSupplier,
    headers: HeaderMap,
    cause: Cause,
    Body(request): Body<UpdateSupplier>,
) -> Result<Written<Answer>, ApiError> {
    app.authentication.require_self(Account { kind: AccountKind::Supplier, id }, &headers)?;
    let change = |supplier: &mut Supplier, write: &mut Write| {
        request.apply(supplier);
        Ok(write.update(supplier, EventType::SupplierUpdated)?)
    };
    let (supplier, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(Answer::to(caller, supplier, &app.store).await?, committed))
}

async fn delete(
    State(app): State<App>,
    EntityId(id): EntityId,
    headers: HeaderMap,
    cause: Cause,
) -> Result<Deleted, ApiError> {
    app.authentication.require_self(Account { kind: AccountKind::Supplier, id }, &headers)?;
    let attempt = || remove_with_products(&app.store, &cause, id);
    app.store.until_current(attempt).await.map(Deleted)
}

/// The supplier goes, and its live products with it, in one transaction.
async fn remove_with_products(store: &Store, cause: &Cause, id: Id) -> Result<Committed, Attempt> {
    let mut supplier: Supplier = store.get(id).await?;
    let live = doc! { "supplier_id": id, "status": { "$ne": ProductStatus::Deleted.as_str() } };
    cause.expected.check(supplier.version)?;
    let products: Vec<Product> = store.all(live).await?;

    let mut write = Write::new(cause);
    supplier.advance(write.moment);
    write.remove_supplier(&supplier)?;
    for mut product in products {
        product.advance(write.moment);
        product.status = ProductStatus::Deleted;
        write.update(&product, ProductAction::Delete.event_type())?;
    }
    Ok(store.commit(write).await?)
}

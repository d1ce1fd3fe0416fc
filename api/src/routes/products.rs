use axum::extract::State;
use axum::http::Uri;
use mongodb::bson::{doc, serialize_to_bson};
use shared::Id;
use shared::document::{Product, ProductAction, ProductStatus};
use shared::event::EventType;

use super::{App, deleted_caller, live_supplier, make_once};
use crate::http::{
    ApiError, Body, CallingSupplier, Created, Creation, Deleted, EntityId, Found, Listed, Query,
    Written,
};
use crate::openapi::Routes;
use crate::requests::{CreateProduct, ListProducts, UpdateProduct};
use crate::store::{Cause, NoSecrets, Order, Write};

pub fn routes(api: Routes) -> Routes {
    use ProductAction::{Discontinue, MarkOutOfStock, Publish, Restore};
    let by = |action| move |app, id, supplier, cause| transition(action, app, id, supplier, cause);
    api.get("/products", list, "The products, newest first")
        .post("/products", create, "Make a draft")
        .refuses([ApiError::NotFound("supplier"), deleted_caller()])
        .get("/products/{id}", read, "One product")
        .patch("/products/{id}", update, "Change a product: only what is given changes")
        .refuses([not_owner()])
        .delete("/products/{id}", delete, "Delete a product, for good")
        .refuses([not_owner()])
        .post("/products/{id}/publish", by(Publish), "Put a draft on sale")
        .refuses([not_owner(), not_allowed(ProductStatus::Active)])
        .post("/products/{id}/discontinue", by(Discontinue), "Take a product off sale")
        .refuses([not_owner(), not_allowed(ProductStatus::Draft)])
        .post("/products/{id}/mark-out-of-stock", by(MarkOutOfStock), "Say that none is left")
        .refuses([not_owner(), not_allowed(ProductStatus::Draft)])
        .post("/products/{id}/restore", by(Restore), "Make it a draft again")
        .refuses([not_owner(), not_allowed(ProductStatus::Active)])
}

async fn create(
    State(app): State<App>,
    CallingSupplier(supplier): CallingSupplier,
    cause: Cause,
    Creation { request, once }: Creation<CreateProduct>,
) -> Result<Created<Product>, ApiError> {
    let make = async {
        let attempt = || async {
            // Read anew each time: the supplier may go while the product is made.
            let supplier = live_supplier(&app, supplier).await?;
            let mut write = Write::new(&cause);
            let product = request.to_document(&supplier, write.moment);
            write.create(&product, &NoSecrets {}, EventType::ProductCreated)?;
            write.link(&product);
            write.remember(&once, &product)?;
            let committed = app.store.commit(write).await?;
            Ok((product, committed))
        };
        let (product, committed) = app.store.until_current(attempt).await?;
        Ok(Written::created(product, committed))
    };
    make_once(&app.store, &once, make).await
}

async fn list(
    State(app): State<App>,
    uri: Uri,
    Query(page, wanted): Query<ListProducts>,
) -> Result<Listed<Product>, ApiError> {
    let mut filter = doc! { "status": { "$ne": ProductStatus::Deleted.as_str() } };
    if !wanted.status.is_empty() {
        let live = wanted.status.iter().filter(|status| **status != ProductStatus::Deleted);
        filter.insert(
            "status",
            doc! { "$in": live.map(|status| status.as_str()).collect::<Vec<_>>() },
        );
    }
    if let Some(category) = wanted.category {
        filter.insert("category", serialize_to_bson(&category).map_err(ApiError::internal)?);
    }
    if let Some(supplier) = wanted.supplier_id {
        filter.insert("supplier_id", supplier);
    }
    app.store
        .list(filter, Order::Newest("created_at"), page)
        .await
        .map(|listing| Listed::new(&uri, listing))
}

async fn read(State(app): State<App>, EntityId(id): EntityId) -> Result<Found<Product>, ApiError> {
    app.store.get(id).await.map(Found::document)
}

async fn update(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingSupplier(supplier): CallingSupplier,
    cause: Cause,
    Body(request): Body<UpdateProduct>,
) -> Result<Written<Product>, ApiError> {
    let change = |product: &mut Product, write: &mut Write| {
        require_owner(product, supplier)?;
        request.apply(product);
        Ok(write.update(product, EventType::ProductUpdated)?)
    };
    let (product, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(product, committed))
}

async fn delete(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingSupplier(supplier): CallingSupplier,
    cause: Cause,
) -> Result<Deleted, ApiError> {
    let change = |product: &mut Product, write: &mut Write| {
        require_owner(product, supplier)?;
        step(product, ProductAction::Delete)?;
        write.update(product, ProductAction::Delete.event_type())?;
        write.unlink(product);
        Ok(())
    };
    let (_, committed) = app.store.change(&cause, id, change).await?;
    Ok(Deleted(committed))
}

async fn transition(
    action: ProductAction,
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingSupplier(supplier): CallingSupplier,
    cause: Cause,
) -> Result<Written<Product>, ApiError> {
    let change = |product: &mut Product, write: &mut Write| {
        require_owner(product, supplier)?;
        step(product, action)?;
        if action == ProductAction::Publish {
            product.published_at = Some(write.moment);
        }
        Ok(write.update(product, action.event_type())?)
    };
    let (product, committed) = app.store.change(&cause, id, change).await?;
    Ok(Written::changed(product, committed))
}

fn require_owner(product: &Product, supplier: Id) -> Result<(), ApiError> {
    if product.supplier_id == supplier {
        return Ok(());
    }
    Err(not_owner())
}

fn not_owner() -> ApiError {
    ApiError::Forbidden("only the supplier of the product may change it")
}

fn step(product: &mut Product, action: ProductAction) -> Result<(), ApiError> {
    let now = product.status;
    product.status = now.after(action).ok_or_else(|| not_allowed(now))?;
    Ok(())
}

fn not_allowed(now: ProductStatus) -> ApiError {
    let status = now.as_str();
    ApiError::StateConflict(format!("a product that is {status} does not allow this"))
}

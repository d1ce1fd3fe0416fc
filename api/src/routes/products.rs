use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mongodb::bson::{doc, serialize_to_bson};
use shared::Id;
use shared::document::{Product, ProductAction, ProductStatus};
use shared::event::EventType;

use super::{App, live_supplier, make_once};
use crate::http::{
    ApiError, Body, CallingSupplier, Creation, Deleted, EntityId, Found, Listed, Query, Written,
};
use crate::requests::{CreateProduct, ListProducts, UpdateProduct};
use crate::store::{Cause, NoSecrets, Order, Write};

pub fn routes() -> Router<App> {
    let by = |action: ProductAction| {
        post(move |app, id, supplier, cause| transition(action, app, id, supplier, cause))
    };
    Router::new()
        .route("/products", get(list).post(create))
        .route("/products/{id}", get(read).patch(update).delete(delete))
        .route("/products/{id}/publish", by(ProductAction::Publish))
        .route("/products/{id}/discontinue", by(ProductAction::Discontinue))
        .route("/products/{id}/mark-out-of-stock", by(ProductAction::MarkOutOfStock))
        .route("/products/{id}/restore", by(ProductAction::Restore))
}

async fn create(
    State(app): State<App>,
    CallingSupplier(supplier): CallingSupplier,
    cause: Cause,
    Creation { request, once }: Creation<CreateProduct>,
) -> Result<Response, ApiError> {
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
) -> Result<impl IntoResponse, ApiError> {
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
) -> Result<impl IntoResponse, ApiError> {
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
    Err(ApiError::Forbidden("only the supplier of the product may change it"))
}

fn step(product: &mut Product, action: ProductAction) -> Result<(), ApiError> {
    product.status = product.status.after(action).ok_or_else(|| {
        let status = product.status.as_str();
        ApiError::StateConflict(format!("a product that is {status} does not allow this"))
    })?;
    Ok(())
}

use std::collections::HashMap;

use axum::extract::State;
use axum::http::Uri;
use mongodb::bson::doc;
use shared::Id;
use shared::document::{Order, Product};
use shared::event::EventType;

use super::{App, live_user, make_once, not_live};
use crate::http::{
    ApiError, CallingUser, Created, Creation, EntityId, Found, Listed, Query, Written,
};
use crate::openapi::Routes;
use crate::requests::{CreateOrder, ListOrders};
use crate::store::{
    Attempt, Cause, CommitError, Constraint, NoSecrets, Order as ListOrder, Store, Write,
};

pub fn routes(api: Routes) -> Routes {
    api.get("/orders", list, "The caller's own orders, newest first")
        .post("/orders", create, "Place an order; customer and products are frozen in it")
        .refuses(not_live())
        .refuses([ApiError::StateConflict("a product that is draft is not for sale".to_owned())])
        .get("/orders/{id}", read, "One of the caller's own orders")
}

async fn create(
    State(app): State<App>,
    CallingUser(user): CallingUser,
    cause: Cause,
    Creation { request, once }: Creation<CreateOrder>,
) -> Result<Created<Order>, ApiError> {
    let make = async {
        let (customer, products) =
            tokio::join!(live_user(&app, user), ordered_products(&app.store, &request));
        let (customer, products) = (customer?, products?);
        let attempt = || async {
            let mut write = Write::new(&cause);
            let number = app.order_numbers.draw(write.moment);
            let order = request.to_document(number, &customer, &products, write.moment)?;
            write.create(&order, &NoSecrets {}, EventType::OrderCreated)?;
            write.remember(&once, &order)?;
            match app.store.commit(write).await {
                // The number was drawn before: draw another one.
                Err(CommitError::Duplicate(Constraint::OrderNumber)) => Err(Attempt::Stale),
                outcome => Ok((order, outcome?)),
            }
        };
        let (order, committed) = app.store.until_current(attempt).await?;
        Ok(Written::created(order, committed))
    };
    make_once(&app.store, &once, make).await
}

/// What the order names, by id; what is missing or deleted is not in it.
async fn ordered_products(
    store: &Store,
    request: &CreateOrder,
) -> Result<HashMap<Id, Product>, ApiError> {
    let products: Vec<Product> =
        store.find_each(request.items.iter().map(|line| line.product_id)).await?;
    Ok(products.into_iter().map(|product| (product.id, product)).collect())
}

async fn list(
    State(app): State<App>,
    uri: Uri,
    CallingUser(user): CallingUser,
    Query(page, wanted): Query<ListOrders>,
) -> Result<Listed<Order>, ApiError> {
    let mut filter = doc! { "customer.user_id": user };
    if !wanted.status.is_empty() {
        let wanted: Vec<_> = wanted.status.iter().map(|status| status.as_str()).collect();
        filter.insert("status", doc! { "$in": wanted });
    }
    app.store
        .list(filter, ListOrder::Newest("created_at"), page)
        .await
        .map(|listing| Listed::new(&uri, listing))
}

async fn read(
    State(app): State<App>,
    EntityId(id): EntityId,
    CallingUser(user): CallingUser,
) -> Result<Found<Order>, ApiError> {
    let order: Order = app.store.get(id).await?;
    require_buyer(&order, user)?;
    Ok(Found::document(order))
}

/// Whose order it is not learns nothing of it, not even that it exists.
pub(super) fn require_buyer(order: &Order, user: Id) -> Result<(), ApiError> {
    if order.customer.user_id == user { Ok(()) } else { Err(ApiError::NotFound("order")) }
}

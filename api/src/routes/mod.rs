//! The REST surface, one file a domain. A handler reads the request's parts,
//! decides, and commits one [`crate::store::Write`].

mod order_steps;
mod orders;
mod posts;
mod products;
mod status;
mod suppliers;
mod users;

use axum::Router;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::Id;
use shared::document::{Document, User};
use shared::process::Health;

use crate::http::{ApiError, Written};
use crate::password::PasswordHashing;
use crate::store::{Once, Store};

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub passwords: PasswordHashing,
    pub health: Health,
}

/// Every route of the contract.
pub fn rest() -> Router<App> {
    Router::new()
        .merge(status::routes())
        .merge(users::routes())
        .merge(suppliers::routes())
        .merge(products::routes())
        .merge(orders::routes())
        .merge(order_steps::routes())
        .merge(posts::routes())
}

/// Makes something, unless this request did so before: then its first answer is given
/// again. Of many at once one makes it, and the others get its answer.
async fn make_once<T: Serialize>(
    store: &Store,
    once: &Once,
    make: impl Future<Output = Result<Written<T>, ApiError>>,
) -> Result<Response, ApiError> {
    if let Some(first) = store.recall(once).await? {
        return Ok(first.into_response());
    }
    match make.await {
        Err(ApiError::AlreadyAnswered) => {
            let first = store.recall(once).await?;
            first.map(IntoResponse::into_response).ok_or(ApiError::AlreadyAnswered)
        }
        made => made.map(IntoResponse::into_response),
    }
}

/// The calling user, who must be live.
async fn live_user(store: &Store, id: Id) -> Result<User, ApiError> {
    let user: User = store.find(id).await?.ok_or(ApiError::NotFound("user"))?;
    if user.is_deleted() {
        return Err(ApiError::AccountStatus("the calling user is deleted"));
    }
    Ok(user)
}

//! The REST surface, one file a domain. A handler reads the request's parts,
//! decides, and commits one [`crate::store::Write`].

mod login;
mod order_steps;
mod orders;
mod posts;
mod products;
mod status;
mod suppliers;
mod users;

use axum::Router;
use axum::extract::FromRef;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::Id;
use shared::document::{Document, Supplier, User};
use shared::process::Health;

use crate::auth::{AccountKind, Authentication};
use crate::http::{ApiError, Written};
use crate::password::PasswordHashing;
use crate::store::{Once, Store};

/// What the handlers work with.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub passwords: PasswordHashing,
    pub health: Health,
    pub authentication: Authentication,
}

impl FromRef<App> for Authentication {
    fn from_ref(app: &App) -> Self {
        app.authentication.clone()
    }
}

/// Every route of the contract; a login only where tokens are believed.
pub fn rest(authentication: &Authentication) -> Router<App> {
    let login = match authentication {
        Authentication::Headers => Router::new(),
        Authentication::Token(token) => login::routes(token.clone()),
    };
    Router::new()
        .merge(login)
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
async fn live_user(app: &App, id: Id) -> Result<User, ApiError> {
    let user: Option<User> = app.store.find(id).await?;
    let user = user.ok_or_else(|| app.authentication.gone(AccountKind::User))?;
    if user.is_deleted() {
        return Err(ApiError::AccountStatus("the calling user is deleted"));
    }
    Ok(user)
}

/// The calling supplier, which must be there: suppliers leave nothing behind.
async fn live_supplier(app: &App, id: Id) -> Result<Supplier, ApiError> {
    let supplier: Option<Supplier> = app.store.find(id).await?;
    supplier.ok_or_else(|| app.authentication.gone(AccountKind::Supplier))
}

//! The REST surface, one file a domain. A handler reads the request's parts,
//! decides, and commits one [`crate::store::Write`].

mod events;
mod login;
mod order_steps;
mod orders;
mod posts;
mod products;
mod status;
mod suppliers;
mod users;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use shared::Id;
use shared::document::{Document, Supplier, User};
use shared::process::{Health, RetryPolicy};
use tokio::time::Instant;

use crate::auth::{AccountKind, AuthMode, Authentication};
use crate::http::{ApiError, Created, Written};
use crate::openapi::Routes;
use crate::order_numbers::OrderNumbers;
use crate::password::PasswordHashing;
use crate::store::{Once, Remembered, Store};

/// How long a repeated request waits for the answer of the first one.
const ANSWERING: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(20);

/// What the handlers work with. One pointer, because the router clones it several times
/// for each request.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub store: Store,
    pub passwords: PasswordHashing,
    pub order_numbers: OrderNumbers,
    pub health: Health,
    pub authentication: Authentication,
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Authentication {
    fn from_ref(app: &App) -> Self {
        app.authentication.clone()
    }
}

/// Every route of the contract; a login only where tokens are believed.
pub fn rest(authentication: &Authentication) -> Routes {
    let domains = [
        users::routes,
        suppliers::routes,
        products::routes,
        orders::routes,
        order_steps::routes,
        posts::routes,
        events::routes,
        status::routes,
    ];
    let routes = match authentication {
        Authentication::Headers => Routes::new(AuthMode::Headers),
        Authentication::Token(token) => login::routes(Routes::new(AuthMode::Token), token.clone()),
    };
    domains.into_iter().fold(routes, |routes, add| add(routes))
}

/// Makes something, unless this request did so before: then its first answer is given
/// again. Of many at once one makes it, and the others get its answer.
async fn make_once<T>(
    store: &Store,
    once: &Once,
    make: impl Future<Output = Result<Written<T>, ApiError>>,
) -> Result<Created<T>, ApiError> {
    if let Some(first) = store.recall(once).await? {
        return Ok(Created::Before(first));
    }
    match make.await {
        Err(ApiError::AlreadyAnswered) => first_answer(store, once).await.map(Created::Before),
        made => made.map(Created::Now),
    }
}

/// The answer that another instance may be giving just now: until the majority has it, it can
/// still be lost.
async fn first_answer(store: &Store, once: &Once) -> Result<Remembered, ApiError> {
    let deadline = Instant::now() + ANSWERING;
    for wait in (RetryPolicy { initial: WAIT, max: WAIT }).waits() {
        if let Some(first) = store.recall(once).await? {
            return Ok(first);
        }
        if Instant::now() + wait > deadline {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    Err(ApiError::AlreadyAnswered)
}

/// The calling user, who must be live.
async fn live_user(app: &App, id: Id) -> Result<User, ApiError> {
    let user: Option<User> = app.store.find(id).await?;
    let user = user.ok_or_else(|| app.authentication.gone(AccountKind::User))?;
    if user.is_deleted() {
        return Err(deleted_caller());
    }
    Ok(user)
}

/// The calling supplier, which must be there: suppliers leave nothing behind.
async fn live_supplier(app: &App, id: Id) -> Result<Supplier, ApiError> {
    let supplier: Option<Supplier> = app.store.find(id).await?;
    supplier.ok_or_else(|| app.authentication.gone(AccountKind::Supplier))
}

fn deleted_caller() -> ApiError {
    ApiError::AccountStatus("the calling user is deleted")
}

/// How [`live_user`] refuses.
fn not_live() -> [ApiError; 2] {
    [ApiError::NotFound("user"), deleted_caller()]
}

/// How a sign-up is refused, beside its own rules.
fn taken() -> ApiError {
    ApiError::Duplicate("the e-mail address is already in use")
}

fn crowded() -> ApiError {
    ApiError::RateLimited { retry_after_seconds: 2 }
}

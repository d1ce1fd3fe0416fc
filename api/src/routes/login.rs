//! `POST /auth/login`: an e-mail address and a password for a token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::Id;

use super::App;
use crate::auth::{Account, AccountKind, TokenAuthentication};
use crate::http::{ApiError, Body};
use crate::openapi::{Described, Operation, Routes, Schemas};
use crate::password::{PasswordHashing, Verified};
use crate::requests::Login;
use crate::store::{Credentials, Store};

pub fn routes(api: Routes, authentication: Arc<TokenAuthentication>) -> Routes {
    let handler = move |app, peer, headers, body| login(authentication, app, peer, headers, body);
    api.post("/auth/login", handler, "Get a token for an e-mail address and a password").refuses([
        wrong(),
        deleted(),
        ApiError::RateLimited { retry_after_seconds: 6 },
    ])
}

#[derive(Serialize, JsonSchema)]
struct LoggedIn {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    account_type: AccountKind,
    account_id: Id,
}

async fn login(
    authentication: Arc<TokenAuthentication>,
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(request): Body<Login>,
) -> Result<LoggedIn, ApiError> {
    let kind = request.account_type;
    let from = authentication.client_address(peer.ip(), &headers);
    authentication.admit(kind, &request.email, from)?;
    let credentials = app.store.credentials(kind, &request.email).await?;
    let id = verify(&app.passwords, &app.store, kind, credentials, request.password).await?;
    let issued = authentication.issue(Account { kind, id })?;
    let answer = LoggedIn {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in,
        account_type: kind,
        account_id: id,
    };
    Ok(answer)
}

impl IntoResponse for LoggedIn {
    fn into_response(self) -> Response {
        // RFC 6749, 5.1: no cache keeps a token.
        let secret = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (secret, Json(self)).into_response()
    }
}

impl Described for LoggedIn {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.answers(StatusCode::OK, Some(schemas.answer::<Self>()), &["Cache-Control"]);
    }
}

fn wrong() -> ApiError {
    ApiError::AuthenticationFailed("e-mail address or password is wrong".into())
}

fn deleted() -> ApiError {
    ApiError::AccountStatus("the account is deleted")
}

/// One hash is computed whether the account is there or not, and the answer is the same:
/// nobody learns from a login who has an account. That it is deleted learns only who
/// knows its password.
async fn verify(
    passwords: &PasswordHashing,
    store: &Store,
    kind: AccountKind,
    credentials: Option<Credentials>,
    password: String,
) -> Result<Id, ApiError> {
    let stored = credentials.as_ref().map(|known| known.password_hash.clone());
    let verified = passwords.verify(password.clone(), stored).await?;
    let known = credentials.ok_or_else(wrong)?;
    if verified == Verified::Wrong {
        return Err(wrong());
    }
    if known.is_deleted {
        return Err(deleted());
    }
    if verified == Verified::Outdated {
        renew(passwords, store, kind, &known, password).await;
    }
    Ok(known.id)
}

/// Replaces a hash of the Python system, or of cheaper days. The login does not depend on
/// it: what fails now is done the next time.
async fn renew(
    passwords: &PasswordHashing,
    store: &Store,
    kind: AccountKind,
    known: &Credentials,
    password: String,
) {
    let renewed = async {
        let hash = passwords.hash(password).await?;
        store.renew_hash(kind, known, &hash).await
    };
    if let Err(error) = renewed.await {
        tracing::warn!(%error, account = %known.id, "a password hash was not renewed");
    }
}

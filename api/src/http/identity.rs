//! Who calls: today's clients name themselves in a header.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use shared::Id;

use super::ApiError;

const USER_HEADER: &str = "X-User-ID";
const SUPPLIER_HEADER: &str = "X-Supplier-ID";

/// The user named by `X-User-ID`. Whether the account exists is the handler's question.
pub struct CallingUser(pub Id);

/// The supplier named by `X-Supplier-ID`.
pub struct CallingSupplier(pub Id);

/// The supplier, where one is named: some answers tell it more.
pub struct MaybeCallingSupplier(pub Option<Id>);

/// One of the two sides of an order, named by its own header.
#[derive(Clone, Copy)]
pub enum CallingParty {
    User(Id),
    Supplier(Id),
}

impl<S: Send + Sync> FromRequestParts<S> for CallingUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        required(parts, USER_HEADER).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallingSupplier {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        required(parts, SUPPLIER_HEADER).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MaybeCallingSupplier {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        named(parts, SUPPLIER_HEADER).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CallingParty {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if let Some(user) = named(parts, USER_HEADER)? {
            return Ok(Self::User(user));
        }
        let supplier = named(parts, SUPPLIER_HEADER)?.ok_or_else(|| {
            ApiError::AuthenticationFailed(Cow::Owned(format!(
                "the header {USER_HEADER} or {SUPPLIER_HEADER} is missing"
            )))
        })?;
        Ok(Self::Supplier(supplier))
    }
}

fn required(parts: &Parts, header: &'static str) -> Result<Id, ApiError> {
    named(parts, header)?.ok_or_else(|| {
        ApiError::AuthenticationFailed(Cow::Owned(format!("the header {header} is missing")))
    })
}

fn named(parts: &Parts, header: &'static str) -> Result<Option<Id>, ApiError> {
    let mut values = parts.headers.get_all(header).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::invalid(header, "given more than once"));
    }
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| ApiError::invalid(header, "not an id: expected 24 hex digits"))
}

//! Who calls, read from the headers of a request.

use std::net::IpAddr;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use shared::Id;

use super::ApiError;
use crate::auth::{Account, AccountKind, Authentication};
use crate::openapi::{Described, Operation, Schemas};

/// The calling user. Whether the account exists is the handler's question.
pub struct CallingUser(pub Id);

/// The calling supplier.
pub struct CallingSupplier(pub Id);

/// The supplier, where it is one that calls: some answers tell it more.
pub struct MaybeCallingSupplier(pub Option<Id>);

/// One of the two sides of an order.
#[derive(Clone, Copy)]
pub struct CallingParty(pub Account);

impl<S> FromRequestParts<S> for CallingUser
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Authentication::from_ref(state).caller(AccountKind::User, &parts.headers).map(Self)
    }
}

impl<S> FromRequestParts<S> for CallingSupplier
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Authentication::from_ref(state).caller(AccountKind::Supplier, &parts.headers).map(Self)
    }
}

impl<S> FromRequestParts<S> for MaybeCallingSupplier
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let authentication = Authentication::from_ref(state);
        authentication.caller_if(AccountKind::Supplier, &parts.headers).map(Self)
    }
}

impl<S> FromRequestParts<S> for CallingParty
where
    S: Send + Sync,
    Authentication: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Authentication::from_ref(state).any_caller(&parts.headers).map(Self)
    }
}

impl Described for CallingUser {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.called_by(&[AccountKind::User]);
    }
}

impl Described for CallingSupplier {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.called_by(&[AccountKind::Supplier]);
    }
}

impl Described for MaybeCallingSupplier {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.called_by_anybody_or(AccountKind::Supplier);
    }
}

impl Described for CallingParty {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.called_by(&AccountKind::ALL);
    }
}

/// The id in an identity header.
///
/// # Errors
/// Validation where it is malformed or given twice.
pub fn named(headers: &HeaderMap, header: &'static str) -> Result<Option<Id>, ApiError> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::invalid(header, "given more than once"));
    }
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| ApiError::malformed_header(header))
}

/// The token of `Authorization: Bearer …`.
///
/// # Errors
/// InvalidToken where the header is anything else, or given twice.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    match (text.split_once(' '), values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim()))
        }
        _ => Err(ApiError::InvalidToken),
    }
}

/// The address that the outermost of `proxies` trusted proxies saw. Each adds one to the
/// end of X-Forwarded-For; what stands before those is the client's own invention.
pub fn forwarded_for(headers: &HeaderMap, proxies: u8) -> Option<IpAddr> {
    let values = headers.get_all("x-forwarded-for").iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let back = usize::from(proxies).checked_sub(1)?;
    texts.iter().flat_map(|text| text.split(',')).rev().nth(back)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_what_trusted_proxies_added_is_believed() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1, 2.2.2.2"));
        headers.append("x-forwarded-for", HeaderValue::from_static("3.3.3.3"));
        let seen = |proxies| forwarded_for(&headers, proxies).map(|address| address.to_string());
        assert_eq!(seen(0), None);
        assert_eq!(seen(1).as_deref(), Some("3.3.3.3"));
        assert_eq!(seen(2).as_deref(), Some("2.2.2.2"));
        assert_eq!(seen(4), None, "fewer than there should be");
    }

    #[test]
    fn a_token_comes_as_bearer_and_once() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&["bearer abc"]).unwrap().as_deref(), Some("abc"));
        for broken in [&["Basic abc"][..], &["Bearer"], &[""], &["Bearer a", "Bearer a"]] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }
}

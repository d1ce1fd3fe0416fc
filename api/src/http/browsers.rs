//! What browsers are told: who may call from another origin, and what they must not make
//! of an answer.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// How long a browser remembers what it may send.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// The headers that a page of another origin may send, beside those that it always may.
const ACCEPTED: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-supplier-id"),
    HeaderName::from_static("x-user-id"),
];

/// The headers of an answer that it may read.
const EXPOSED: [HeaderName; 7] = [
    header::ETAG,
    header::LINK,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("x-event-id"),
    HeaderName::from_static("x-request-id"),
];

/// Who may call from a browser.
#[derive(Debug, Clone, PartialEq)]
pub enum Origins {
    Any,
    Of(Vec<HeaderValue>),
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("expected * or origins such as https://shop.example, separated by commas")]
pub struct NotOrigins;

impl std::str::FromStr for Origins {
    type Err = NotOrigins;

    fn from_str(text: &str) -> Result<Self, NotOrigins> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        text.split(',').map(|each| origin(each.trim())).collect::<Result<_, _>>().map(Self::Of)
    }
}

/// `scheme://host[:port]`, as browsers send it.
fn origin(text: &str) -> Result<HeaderValue, NotOrigins> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?']));
    if !is_origin {
        return Err(NotOrigins);
    }
    HeaderValue::from_str(text).map_err(|_| NotOrigins)
}

/// No credentials: nothing here depends on a cookie.
pub fn cors(origins: &Origins) -> CorsLayer {
    let allowed = match origins {
        Origins::Any => AllowOrigin::any(),
        Origins::Of(list) => AllowOrigin::list(list.clone()),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(ACCEPTED)
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_AGE)
}

type Protection = SetResponseHeaderLayer<HeaderValue>;

/// On every answer that says nothing else itself: it is data, not a page.
pub fn protections() -> (Protection, Protection, Protection, Protection) {
    let protect =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    (
        protect(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        protect(header::X_FRAME_OPTIONS, "DENY"),
        protect(header::REFERRER_POLICY, "no-referrer"),
        protect(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        assert_eq!("*".parse(), Ok(Origins::Any));
        let two = "https://shop.example, http://127.0.0.1:3000".parse();
        let of = ["https://shop.example", "http://127.0.0.1:3000"].map(HeaderValue::from_static);
        assert_eq!(two, Ok(Origins::Of(of.to_vec())));
        for broken in ["", "shop.example", "https://", "https://a.example/", "https://*.a", "a,*"] {
            assert_eq!(broken.parse::<Origins>(), Err(NotOrigins), "{broken}");
        }
    }
}

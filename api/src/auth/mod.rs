//! Who calls. By default whoever a header names is believed, as today's clients expect;
//! with `API_AUTH=token` only who shows a token that a login gave out.

mod attempts;
mod hs256;
mod settings;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::Id;
use shared::event::Domain;

use crate::http::{ApiError, identity};
use attempts::LoginAttempts;
use tokens::Tokens;

pub use settings::{AuthMode, AuthSettings, NoSecret, TokenSecret};
pub use tokens::AccessToken;

/// What somebody may log in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    #[default]
    User,
    Supplier,
}

/// Somebody who can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub kind: AccountKind,
    pub id: Id,
}

impl AccountKind {
    pub const ALL: [Self; 2] = [Self::User, Self::Supplier];

    /// The header in which a caller of this kind names itself.
    pub fn header(self) -> &'static str {
        match self {
            Self::User => "X-User-ID",
            Self::Supplier => "X-Supplier-ID",
        }
    }

    /// Where its accounts are kept.
    pub fn domain(self) -> Domain {
        match self {
            Self::User => Domain::User,
            Self::Supplier => Domain::Supplier,
        }
    }
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.domain().topic())
    }
}

/// How callers are told apart. Cheap to clone.
#[derive(Clone)]
pub enum Authentication {
    Headers,
    Token(Arc<TokenAuthentication>),
}

/// What the token mode needs.
pub struct TokenAuthentication {
    tokens: Tokens,
    attempts: LoginAttempts,
    /// How many proxies of ours stand in front and add to X-Forwarded-For.
    trusted_proxies: u8,
}

impl Authentication {
    /// # Errors
    /// Where the settings ask for tokens without a secret to sign them with.
    pub fn new(settings: &AuthSettings) -> Result<Self, settings::NoSecret> {
        match settings.auth {
            AuthMode::Headers => Ok(Self::Headers),
            AuthMode::Token => {
                let secret = settings.token_secret.clone().ok_or(settings::NoSecret)?;
                Ok(Self::Token(Arc::new(TokenAuthentication {
                    tokens: Tokens::new(
                        &secret,
                        settings.token_secret_previous.as_ref(),
                        settings.token_ttl(),
                    ),
                    attempts: LoginAttempts::new(
                        settings.login_attempts_per_account,
                        settings.login_attempts_per_address,
                    ),
                    trusted_proxies: settings.trusted_proxies,
                })))
            }
        }
    }

    /// The caller as an account of this kind, where it is one and says so.
    ///
    /// # Errors
    /// Validation for a malformed identity header; with tokens also InvalidToken, and
    /// Forbidden where a header names somebody else than the token.
    pub fn caller_if(
        &self,
        kind: AccountKind,
        headers: &HeaderMap,
    ) -> Result<Option<Id>, ApiError> {
        match self {
            Self::Headers => identity::named(headers, kind.header()),
            Self::Token(token) => {
                let account = token.account(headers)?;
                Ok(account.filter(|account| account.kind == kind).map(|account| account.id))
            }
        }
    }

    /// The caller, who must be an account of this kind.
    ///
    /// # Errors
    /// As [`Authentication::caller_if`]; AuthenticationFailed where nobody is named, and
    /// Forbidden where the token is of an account of the other kind.
    pub fn caller(&self, kind: AccountKind, headers: &HeaderMap) -> Result<Id, ApiError> {
        if let Some(id) = self.caller_if(kind, headers)? {
            return Ok(id);
        }
        match self {
            Self::Headers => Err(ApiError::missing_header(kind.header())),
            Self::Token(token) => match token.account(headers)? {
                Some(_) => Err(ApiError::Forbidden("an account of this kind may not do this")),
                None => Err(ApiError::TokenRequired),
            },
        }
    }

    /// The caller, of either kind; a user where headers name both.
    ///
    /// # Errors
    /// As [`Authentication::caller`].
    pub fn any_caller(&self, headers: &HeaderMap) -> Result<Account, ApiError> {
        for kind in AccountKind::ALL {
            if let Some(id) = self.caller_if(kind, headers)? {
                return Ok(Account { kind, id });
            }
        }
        Err(match self {
            Self::Headers => ApiError::missing_header("X-User-ID or X-Supplier-ID"),
            Self::Token(_) => ApiError::TokenRequired,
        })
    }

    /// Whether the caller may change this account: with headers everybody may, as ever;
    /// with tokens only the account itself.
    ///
    /// # Errors
    /// TokenRequired, InvalidToken, or Forbidden for everybody else.
    pub fn require_self(&self, account: Account, headers: &HeaderMap) -> Result<(), ApiError> {
        let Self::Token(token) = self else {
            return Ok(());
        };
        match token.account(headers)?.ok_or(ApiError::TokenRequired)? {
            caller if caller == account => Ok(()),
            _ => Err(ApiError::Forbidden("only the account itself may change it")),
        }
    }

    /// What a caller is answered whose account is not there: a header may name anybody,
    /// a token is proof that the account was there once.
    pub fn gone(&self, kind: AccountKind) -> ApiError {
        match self {
            Self::Headers => ApiError::NotFound(kind.domain().topic()),
            Self::Token(_) => ApiError::AccountStatus("the calling account is deleted"),
        }
    }
}

impl TokenAuthentication {
    /// Whose token the request shows, if it shows one.
    fn account(&self, headers: &HeaderMap) -> Result<Option<Account>, ApiError> {
        let Some(token) = identity::bearer(headers)? else {
            return Ok(None);
        };
        let account = self.tokens.verify(token)?;
        for kind in AccountKind::ALL {
            let named = identity::named(headers, kind.header())?;
            if named.is_some_and(|id| account != Account { kind, id }) {
                return Err(ApiError::Forbidden("the header names another account than the token"));
            }
        }
        Ok(Some(account))
    }

    /// # Errors
    /// RateLimited where this address, or anybody for this account, tried too often.
    pub fn admit(&self, kind: AccountKind, email: &str, from: IpAddr) -> Result<(), ApiError> {
        self.attempts.admit(kind, email, from)
    }

    /// The client's address: the peer's, or what the trusted proxies say it was.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        identity::forwarded_for(headers, self.trusted_proxies).unwrap_or(peer)
    }

    /// # Errors
    /// Internal where the token cannot be signed.
    pub fn issue(&self, account: Account) -> Result<AccessToken, ApiError> {
        self.tokens.issue(account).map_err(ApiError::internal)
    }
}

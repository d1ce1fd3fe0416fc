use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// HS256 needs a key as long as its hash (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;

#[derive(Debug, Clone, Args)]
pub struct AuthSettings {
    /// How callers are told apart. `headers` believes X-User-ID and X-Supplier-ID: only
    /// for a network in which everybody is trusted. `token` believes only tokens that
    /// POST /auth/login gave out.
    #[arg(long, env = "API_AUTH", value_enum, default_value_t = AuthMode::Headers,
          help_heading = "Authentication")]
    pub auth: AuthMode,

    /// Signs the tokens; at least 32 bytes. Needed with API_AUTH=token.
    #[arg(long, env = "API_TOKEN_SECRET", hide_env_values = true, help_heading = "Authentication")]
    pub token_secret: Option<TokenSecret>,

    /// The secret before this one: its tokens stay valid until they expire.
    #[arg(
        long,
        env = "API_TOKEN_SECRET_PREVIOUS",
        hide_env_values = true,
        help_heading = "Authentication"
    )]
    pub token_secret_previous: Option<TokenSecret>,

    /// How long a token is valid, in seconds.
    #[arg(long, env = "API_TOKEN_TTL", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=30 * 24 * 3600),
          help_heading = "Authentication")]
    pub token_ttl: u64,

    /// Logins that may be tried for one account in a minute, by whomever.
    #[arg(
        long,
        env = "API_LOGIN_ATTEMPTS_PER_ACCOUNT",
        default_value = "10",
        help_heading = "Authentication"
    )]
    pub login_attempts_per_account: NonZeroU32,

    /// Logins that may be tried from one address in a minute.
    #[arg(
        long,
        env = "API_LOGIN_ATTEMPTS_PER_ADDRESS",
        default_value = "60",
        help_heading = "Authentication"
    )]
    pub login_attempts_per_address: NonZeroU32,

    /// How many proxies stand in front that each add an address to X-Forwarded-For.
    /// 0 ignores the header, which anybody can send.
    #[arg(long, env = "API_TRUSTED_PROXIES", default_value_t = 0, help_heading = "Authentication")]
    pub trusted_proxies: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    Headers,
    Token,
}

impl AuthSettings {
    pub fn token_ttl(&self) -> Duration {
        Duration::from_secs(self.token_ttl)
    }
}

/// What tokens are signed with. Shows itself to nobody.
#[derive(Clone)]
pub struct TokenSecret(String);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("it must have at least {MIN_SECRET_BYTES} bytes")]
pub struct ShortSecret;

#[derive(Debug, thiserror::Error)]
#[error("API_AUTH=token needs API_TOKEN_SECRET")]
pub struct NoSecret;

impl TokenSecret {
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for TokenSecret {
    type Err = ShortSecret;

    fn from_str(text: &str) -> Result<Self, ShortSecret> {
        if text.len() < MIN_SECRET_BYTES {
            return Err(ShortSecret);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused_and_none_shows_itself() {
        assert!("x".repeat(31).parse::<TokenSecret>().is_err());
        let secret: TokenSecret = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
    }
}

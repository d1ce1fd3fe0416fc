use std::time::Duration;

use jsonwebtoken::errors::Error;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};
use shared::Id;

use super::{Account, AccountKind, TokenSecret, hs256};
use crate::http::ApiError;

/// Who gives tokens out, and for whom they are.
const ISSUER: &str = "social-commerce-api";
const AUDIENCE: &str = "social-commerce";

/// Gives out bearer tokens and checks those that come back.
pub struct Tokens {
    sign: EncodingKey,
    /// The secret of now, and while it is being changed the one before.
    accepted: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
}

/// A token for one account.
pub struct AccessToken {
    pub token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// Times are seconds since 1970.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Id,
    kind: AccountKind,
    iat: u64,
    exp: u64,
}

impl Tokens {
    pub fn new(secret: &TokenSecret, previous: Option<&TokenSecret>, ttl: Duration) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        let secrets = std::iter::once(secret).chain(previous);
        Self {
            sign: EncodingKey::from_secret(secret.as_bytes()),
            accepted: secrets.map(|each| DecodingKey::from_secret(each.as_bytes())).collect(),
            validation,
            ttl,
        }
    }

    /// # Errors
    /// Where it cannot be signed.
    pub fn issue(&self, account: Account) -> Result<AccessToken, Error> {
        let now = get_current_timestamp();
        let expires_in = self.ttl.as_secs();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: account.id,
            kind: account.kind,
            iat: now,
            exp: now + expires_in,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.sign)?;
        Ok(AccessToken { token, expires_in })
    }

    /// # Errors
    /// InvalidToken for one that is malformed, forged, expired or not from here.
    pub fn verify(&self, token: &str) -> Result<Account, ApiError> {
        let claims = self
            .accepted
            .iter()
            .find_map(|key| decode::<Claims>(token, key, &self.validation).ok())
            .ok_or(ApiError::InvalidToken)?
            .claims;
        Ok(Account { kind: claims.kind, id: claims.sub })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OLD: &str = "an older secret of 32 bytes and more";
    const NEW: &str = "a newer secret of 32 bytes and more";

    fn secret(text: &str) -> TokenSecret {
        text.parse().unwrap()
    }

    fn tokens(now: &str, previous: Option<&str>) -> Tokens {
        let previous = previous.map(secret);
        Tokens::new(&secret(now), previous.as_ref(), Duration::from_secs(60))
    }

    fn account() -> Account {
        Account { kind: AccountKind::Supplier, id: Id::new() }
    }

    #[test]
    fn a_token_names_its_account_again() {
        let account = account();
        let issued = tokens(NEW, None).issue(account).unwrap();
        assert_eq!(tokens(NEW, None).verify(&issued.token).unwrap(), account);
        assert_eq!(issued.expires_in, 60);
    }

    #[test]
    fn a_secret_can_be_changed_without_logging_everybody_out() {
        let old = tokens(OLD, None).issue(account()).unwrap().token;
        assert!(tokens(NEW, Some(OLD)).verify(&old).is_ok());
        assert!(tokens(NEW, None).verify(&old).is_err());
        let new = tokens(NEW, Some(OLD)).issue(account()).unwrap().token;
        assert!(tokens(NEW, None).verify(&new).is_ok(), "signed with the secret of now");
    }

    /// Every claim is checked: one thing wrong with an otherwise sound token.
    #[test]
    fn a_token_with_a_false_claim_is_refused() {
        let verifier = tokens(NEW, None);
        let sign = |claims: &Value| {
            let key = EncodingKey::from_secret(NEW.as_bytes());
            encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
        };
        let now = get_current_timestamp();
        let sound = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": Id::new(), "kind": "user",
                            "iat": now, "exp": now + 60 });
        assert!(verifier.verify(&sign(&sound)).is_ok());
        for (claim, value) in [
            ("iss", json!("somebody else")),
            ("aud", json!("somebody else")),
            ("sub", json!("nobody")),
            ("kind", json!("admin")),
            ("exp", json!(now - 1)),
            ("exp", json!("never")),
        ] {
            let mut claims = sound.clone();
            claims[claim] = value.clone();
            assert!(verifier.verify(&sign(&claims)).is_err(), "{claim}: {value}");
            claims.as_object_mut().unwrap().remove(claim);
            assert!(verifier.verify(&sign(&claims)).is_err(), "without {claim}");
        }
    }
}

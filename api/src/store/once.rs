//! Idempotency-Key: a client that lost the answer asks again and gets the first one.
//!
//! The answer is stored in the transaction of the write that it answers, so it is there
//! exactly if the write is, whatever happens to the process in between.

use axum::extract::Request;
use mongodb::bson::{Document as Fields, doc};
use mongodb::options::ReadConcern;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::group::{Hold, Resource};
use super::write::Action;
use super::{CommitError, Committed, Constraint, Store, Write};
use crate::auth::{AccountKind, Authentication};
use crate::http::ApiError;
use crate::openapi::{self, Described, Schemas};

pub(super) const COLLECTION: &str = "idempotency_keys";
const HEADER: &str = "Idempotency-Key";
const MAX_KEY_LENGTH: usize = 255;

/// A client's name for one request: its own, and one for each path.
pub struct IdempotencyKey(Option<String>);

/// A request that happens once; or as often as it is sent, without a key.
pub struct Once(Option<Named>);

struct Named {
    id: String,
    /// Tells the same request from another one under the same key.
    fingerprint: String,
}

/// The first answer to a request.
pub struct Remembered {
    pub committed: Committed,
    pub body: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    fingerprint: String,
    event_id: String,
    version: i64,
    body: String,
}

impl IdempotencyKey {
    /// # Errors
    /// Validation for a key that is given twice, empty, longer than 255 characters or
    /// not printable ASCII; what [`Authentication::caller_if`] fails with.
    pub fn from_request(
        request: &Request,
        authentication: &Authentication,
    ) -> Result<Self, ApiError> {
        let headers = request.headers();
        let mut keys = headers.get_all(HEADER).iter();
        let Some(key) = keys.next() else {
            return Ok(Self(None));
        };
        let key = key.to_str().unwrap_or_default();
        if keys.next().is_some() || !(1..=MAX_KEY_LENGTH).contains(&key.len()) {
            return Err(ApiError::invalid(
                HEADER,
                "expected one key of 1 to 255 printable ASCII characters",
            ));
        }
        let caller = |kind| {
            let id = authentication.caller_if(kind, headers)?;
            Ok::<_, ApiError>(id.map(|id| id.to_string()).unwrap_or_default())
        };
        let (user, supplier) = (caller(AccountKind::User)?, caller(AccountKind::Supplier)?);
        let path = request.uri().path();
        Ok(Self(Some(format!("{path} {user} {supplier} {key}"))))
    }
}

impl Described for IdempotencyKey {
    fn describe(operation: &mut openapi::Operation, _: &mut Schemas) {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH,
                             "pattern": "^[\\x20-\\x7e]+$", "examples": ["7f3d2c1e"] });
        let about = "Your name for this request, for 24 hours: sent again under the same key, \
                     it gets its first answer again and makes nothing new.";
        operation.takes_header(HEADER, about, &schema);
        operation.reads_tokens();
    }
}

impl Once {
    /// `request` is what was read of the body: what is ignored tells no two requests apart.
    /// A password must not be serialised: a plain hash of it would be a way around the slow
    /// one.
    ///
    /// # Errors
    /// Internal, if the request cannot be JSON.
    pub fn new<T: Serialize>(key: IdempotencyKey, request: &T) -> Result<Self, ApiError> {
        let Some(id) = key.0 else {
            return Ok(Self(None));
        };
        let request = serde_json::to_vec(request).map_err(ApiError::internal)?;
        let digest = Sha256::digest(request);
        let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(Some(Named { id, fingerprint })))
    }
}

impl Store {
    /// The answer that this request was given before.
    ///
    /// # Errors
    /// Validation where the key was used for another request.
    pub async fn recall(&self, once: &Once) -> Result<Option<Remembered>, ApiError> {
        let Some(named) = &once.0 else {
            return Ok(None);
        };
        let keys = self.typed::<Stored>(COLLECTION);
        let filter = doc! { "_id": &named.id };
        let query = async move {
            // What another instance commits may still be rolled back before the majority has it.
            Ok(keys.find_one(filter).read_concern(ReadConcern::majority()).await?)
        };
        let Some(stored) = self.in_time(query).await? else {
            return Ok(None);
        };
        if stored.fingerprint != named.fingerprint {
            return Err(ApiError::invalid(HEADER, "the key was used for another request"));
        }
        let event_id = Uuid::parse_str(&stored.event_id).map_err(ApiError::internal)?;
        let version = stored.version;
        Ok(Some(Remembered { committed: Committed { event_id, version }, body: stored.body }))
    }
}

impl Write {
    /// Stores the answer with what it answers. Precondition: the key is not used yet.
    pub fn remember<T: Serialize>(&mut self, once: &Once, answer: &T) -> Result<(), CommitError> {
        let (Some(named), Some(event)) = (&once.0, self.events.first()) else {
            return Ok(());
        };
        let body = serde_json::to_string(answer).map_err(CommitError::internal)?;
        self.bytes += body.len();
        let key: Fields = doc! {
            "_id": &named.id,
            "fingerprint": &named.fingerprint,
            "event_id": event.event_id.to_string(),
            "version": event.version,
            "body": body,
            "created_at": self.moment,
        };
        let key = (&key).try_into().map_err(CommitError::internal)?;
        let claim = Resource::Unique(Constraint::IdempotencyKey, named.id.clone());
        self.resources.insert(0, (claim, Hold::Exclusive));
        // First of all, so that a repeated request meets its key before anything else
        // that it would repeat, such as an e-mail address.
        self.operations.insert(
            0,
            super::write::Operation { collection: COLLECTION, action: Action::Insert(key) },
        );
        Ok(())
    }
}

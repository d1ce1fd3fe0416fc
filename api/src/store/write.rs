use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mongodb::bson::{self, Document as Fields, RawDocumentBuf, cstr, doc};
use serde::Serialize;
use shared::document::{Document, Product, Supplier};
use shared::event::{Domain, EventType, deletion_data};
use shared::outbox::{MAX_PAYLOAD_BYTES, OutboxRecord};
use shared::{Id, Timestamp};
use uuid::Uuid;

use super::error::{CommitError, Constraint};
use super::group::{Hold, Resource};
use crate::http::{ApiError, Expected};
use crate::openapi::{self, Described, Schemas};

/// What a request says about where a write comes from.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// W3C Trace Context, handed on in the event.
    pub traceparent: Option<String>,
    /// The versions that the caller wants changed.
    pub expected: Expected,
}

/// An open write: operations on documents, each with its precondition and its
/// event. Nothing has happened until [`super::Store::commit`] takes it; as a value
/// it can be committed alone or together with others.
///
/// The constructors are the only way to put an operation in, and each that
/// changes a document takes the event's type: no document changes without its
/// event. The one exception is the contract's own: a supplier's `product_ids`
/// follow the product that causes the change, without an event.
#[derive(Debug)]
pub struct Write {
    /// The moment that the documents and the events of this write share.
    pub moment: Timestamp,
    traceparent: Option<String>,
    pub(super) operations: Vec<Operation>,
    pub(super) events: Vec<OutboxRecord>,
    /// Decides which writes can share a transaction.
    pub(super) resources: Vec<(Resource, Hold)>,
    /// About what it sends to MongoDB.
    pub(super) bytes: usize,
}

/// What a commit gave: the id of the write's first event, and its document's version.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    pub event_id: Uuid,
    pub version: i64,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub collection: &'static str,
    pub action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
    /// Precondition: no document with this id or unique value.
    Insert(RawDocumentBuf),
    /// Precondition: a document matches `filter`.
    Update { filter: Fields, update: Fields },
    /// Sets what is there, and holds where nothing is.
    UpdateIfPresent { filter: Fields, update: Fields },
    /// Precondition: a document matches `filter`.
    Remove { filter: Fields },
}

impl Write {
    pub fn new(cause: &Cause) -> Self {
        Self {
            moment: Timestamp::now(),
            traceparent: cause.traceparent.clone(),
            operations: Vec::new(),
            events: Vec::new(),
            resources: Vec::new(),
            bytes: 0,
        }
    }

    /// Stores a new document with its secrets beside it.
    pub fn create<D: Document, S: Serialize>(
        &mut self,
        document: &D,
        secrets: &S,
        event: EventType,
    ) -> Result<(), CommitError> {
        let stored = stored_form(document, secrets)?;
        if let Some((constraint, value)) = Constraint::claimed_by(D::DOMAIN.collection(), &stored) {
            self.hold(Resource::Unique(constraint, value.to_owned()), Hold::Exclusive);
        }
        self.bytes += stored.as_bytes().len();
        self.push(D::DOMAIN, Action::Insert(stored));
        self.announce(document, event)
    }

    /// Replaces the document's fields (its secrets stay). Precondition: the stored
    /// version is the one before `document`'s.
    pub fn update<D: Document>(
        &mut self,
        document: &D,
        event: EventType,
    ) -> Result<(), CommitError> {
        let fields = raw(document)?;
        self.bytes += fields.as_bytes().len();
        let mut fields = Fields::try_from(fields).map_err(CommitError::internal)?;
        fields.remove("id");
        // Changes without a new version (see `link`), so what was read may be old by now.
        fields.remove("product_ids");
        let filter = version_filter(document.id(), document.version() - 1);
        let action = Action::Update { filter, update: doc! { "$set": fields } };
        self.push(D::DOMAIN, action);
        self.hold(Resource::Document(D::DOMAIN, document.id()), Hold::Exclusive);
        self.announce(document, event)
    }

    /// Removes a supplier. Precondition: neither its version nor its products have
    /// changed since `supplier` was read, so that no product is created beside the
    /// cascade.
    pub fn remove_supplier(&mut self, supplier: &Supplier) -> Result<(), CommitError> {
        let mut filter = version_filter(supplier.id, supplier.version - 1);
        let no_products = supplier.product_ids.is_empty();
        let products = if no_products {
            doc! { "$in": [[], null] }
        } else {
            doc! { "$eq": supplier.product_ids.clone() }
        };
        filter.insert("product_ids", products);
        self.push(Domain::Supplier, Action::Remove { filter });
        self.hold(Resource::Document(Domain::Supplier, supplier.id), Hold::Exclusive);
        self.hold(Resource::ProductList(supplier.id), Hold::Exclusive);
        self.announce(supplier, EventType::SupplierDeleted)
    }

    /// Adds the product to its supplier's list. Precondition: the supplier is there.
    pub fn link(&mut self, product: &Product) {
        let filter = doc! { "_id": product.supplier_id };
        let update = doc! { "$push": { "product_ids": product.id } };
        self.push(Domain::Supplier, Action::Update { filter, update });
        self.hold(Resource::ProductList(product.supplier_id), Hold::Shared);
    }

    /// Takes the product off its supplier's list, if the supplier is still there.
    pub fn unlink(&mut self, product: &Product) {
        let filter = doc! { "_id": product.supplier_id };
        let update = doc! { "$pull": { "product_ids": product.id } };
        let action = Action::UpdateIfPresent { filter, update };
        self.push(Domain::Supplier, action);
        self.hold(Resource::ProductList(product.supplier_id), Hold::Shared);
    }

    pub(super) fn hold(&mut self, resource: Resource, hold: Hold) {
        self.resources.push((resource, hold));
    }

    fn push(&mut self, domain: Domain, action: Action) {
        let collection = domain.collection();
        self.operations.push(Operation { collection, action });
    }

    fn announce<D: Document>(&mut self, document: &D, event: EventType) -> Result<(), CommitError> {
        let (id, version) = (document.id(), document.version());
        let record = if event.is_deletion() {
            self.record(event, id, version, &deletion_data(D::DOMAIN, id, version))
        } else {
            self.record(event, id, version, document)
        }?;
        // Rather than stored with an event that nobody can publish.
        if record.message_bytes() > MAX_PAYLOAD_BYTES {
            return Err(CommitError::TooLarge);
        }
        self.bytes += record.message_bytes();
        self.events.push(record);
        Ok(())
    }

    fn record<T: Serialize>(
        &self,
        event: EventType,
        id: Id,
        version: i64,
        data: &T,
    ) -> Result<OutboxRecord, CommitError> {
        OutboxRecord::new(event, id, version, self.moment, self.traceparent.clone(), data)
            .map_err(CommitError::internal)
    }
}

/// The document as MongoDB keeps it: `_id` for `id`, and the secrets beside it.
fn stored_form<D: Document, S: Serialize>(
    document: &D,
    secrets: &S,
) -> Result<RawDocumentBuf, CommitError> {
    let fields = raw(document)?;
    let secrets = raw(secrets)?;
    let mut stored = RawDocumentBuf::new();
    stored.append(cstr!("_id"), document.id().object_id());
    for field in fields.iter().chain(secrets.iter()) {
        let (name, value) = field.map_err(CommitError::internal)?;
        if name.as_str() != "id" {
            stored.append(name, value);
        }
    }
    Ok(stored)
}

/// Ids as ObjectIds and moments as dates. `bson::serialize_to_document` would make
/// text of both: it serialises for human readers, the raw form for the server.
fn raw<T: Serialize>(value: &T) -> Result<RawDocumentBuf, CommitError> {
    bson::serialize_to_raw_document_buf(value).map_err(CommitError::internal)
}

/// Matches the document at exactly this version. One of the Python system's may
/// have no version at all, which counts as 0.
fn version_filter(id: Id, version: i64) -> Fields {
    if version == 0 {
        doc! { "_id": id, "version": { "$in": [0, null] } }
    } else {
        doc! { "_id": id, "version": version }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Cause {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let traceparent = parts.headers.get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let expected = Expected::from_headers(&parts.headers)?;
        Ok(Self { traceparent, expected })
    }
}

/// A version can be named only of what is there already.
impl Described for Cause {
    fn describe(operation: &mut openapi::Operation, schemas: &mut Schemas) {
        if operation.is_on_one() {
            Expected::describe(operation, schemas);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserSecrets;
    use shared::document::User;

    fn user() -> User {
        let now = Timestamp::now();
        serde_json::from_value(serde_json::json!({
            "id": Id::new(), "version": 1, "created_at": now, "updated_at": now,
            "contact_info": { "primary_email": "ada@example.com" },
            "profile": { "display_name": "Ada" },
        }))
        .unwrap()
    }

    #[test]
    fn a_new_document_keeps_its_secrets_and_its_event_does_not() {
        let mut write = Write::new(&Cause::default());
        let secrets = UserSecrets { password_hash: "$argon2id$secret".to_owned() };
        write.create(&user(), &secrets, EventType::UserCreated).unwrap();
        let Action::Insert(stored) = &write.operations[0].action else { panic!("no insert") };
        assert_eq!(stored.get_str("password_hash").unwrap(), "$argon2id$secret");
        assert!(stored.get_object_id("_id").is_ok() && stored.get("id").unwrap().is_none());
        assert!(stored.get_datetime("created_at").is_ok(), "a BSON date");
        assert!(!write.events[0].payload.contains("secret"), "{}", write.events[0].payload);
        assert_eq!(write.events[0].version, 1);
    }

    #[test]
    fn an_update_names_the_version_it_was_made_from() {
        let mut user = user();
        let mut write = Write::new(&Cause::default());
        shared::document::Document::advance(&mut user, write.moment);
        write.update(&user, EventType::UserUpdated).unwrap();
        let Action::Update { filter, update } = &write.operations[0].action else { panic!() };
        assert_eq!(filter.get_i64("version").unwrap(), 1);
        assert_eq!(update.get_document("$set").unwrap().get_i64("version").unwrap(), 2);
        assert_eq!(write.events[0].version, 2);
    }

    #[test]
    fn a_document_too_large_for_its_topic_is_refused() {
        let mut user = user();
        user.profile.bio = Some("x".repeat(MAX_PAYLOAD_BYTES));
        let mut write = Write::new(&Cause::default());
        let refused = write.update(&user, EventType::UserUpdated);
        assert!(matches!(refused, Err(CommitError::TooLarge)));
    }
}

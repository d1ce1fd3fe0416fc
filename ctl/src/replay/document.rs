//! A stored document as the change that the projector would have read of it: pure.

use bson::RawDocument;
use projector::decode::{Change, Content};
use projector::rebuild::NO_EVENT;
use projector::tables::Stamp;
use shared::document::{Document, Order, Post, Product, Supplier, User};
use shared::event::Domain;
use shared::{Id, Timestamp};

/// # Errors
/// In words, where the document is not in the contract's shape.
pub fn change(domain: Domain, raw: &RawDocument) -> Result<Change, String> {
    match domain {
        Domain::User => decode::<User>(raw, |it| it.updated_at, |it| Content::User(it.into())),
        Domain::Supplier => {
            decode::<Supplier>(raw, |it| it.updated_at, |it| Content::Supplier(it.into()))
        }
        Domain::Product => decode::<Product>(raw, |it| it.updated_at, product),
        Domain::Order => decode::<Order>(raw, |it| it.updated_at, |it| Content::Order(it.into())),
        Domain::Post => decode::<Post>(raw, |it| it.updated_at, |it| Content::Post(it.into())),
    }
}

/// A deleted product has no row; users and posts keep theirs.
fn product(product: Product) -> Content {
    match product.is_deleted() {
        true => Content::Deleted(Domain::Product),
        false => Content::Product(product.into()),
    }
}

fn decode<D: Document>(
    raw: &RawDocument,
    updated_at: impl FnOnce(&D) -> Timestamp,
    content: impl FnOnce(D) -> Content,
) -> Result<Change, String> {
    let document: D =
        bson::deserialize_from_slice(raw.as_bytes()).map_err(|error| error.to_string())?;
    let entity: Id = document.id();
    let stamp = Stamp {
        event_id: NO_EVENT.to_owned(),
        event_timestamp: updated_at(&document).naive(),
        version: document.version(),
    };
    Ok(Change { entity, stamp, content: content(document) })
}

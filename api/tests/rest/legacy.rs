//! A database of the Python system, taken over in place.

use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::database::Database;
use crate::documents;
use crate::fixtures::{new_order, new_post, new_product, new_user};
use crate::harness::Api;

const BCRYPT: &str = "$2b$12$abcdefghijklmnopqrstuv1234567890123456789012345678901";

/// Ids of one document of each domain.
struct Legacy {
    user: ObjectId,
    supplier: ObjectId,
    product: ObjectId,
    order: ObjectId,
    post: ObjectId,
}

fn common(id: ObjectId) -> Document {
    let then = DateTime::from_millis(1_700_000_000_123);
    doc! { "_id": id, "revision_id": ObjectId::new(), "created_at": then, "updated_at": then }
}

fn with(mut document: Document, more: Document) -> Document {
    document.extend(more);
    document
}

/// As the Python system left it: users under another name and with the version 1, nobody
/// else with any, and with fields that nobody knows any more.
async fn leave_behind(database: &Database) -> Legacy {
    let ids = || ObjectId::new();
    let legacy = Legacy { user: ids(), supplier: ids(), product: ids(), order: ids(), post: ids() };
    let user = doc! {
    "version": 1, "password_hash": BCRYPT, "deleted_at": null, "loyalty": { "points": 7 },
    "contact_info": { "primary_email": "old@example.com", "additional_emails": [], "phone": null },
    "profile": { "display_name": "Old", "avatar": "https://a/b.png", "bio": null, "date_of_birth": null } };
    let address = doc! { "street_address_1": "1", "street_address_2": null, "city": "C",
    "state": "S", "zip_code": "1", "country": "US" };
    let supplier = doc! {
    "password_hash": BCRYPT, "product_ids": [legacy.product],
    "banking_info": { "bank_name": "Secret Bank", "account_holder_name": null, "account_number_last4": "last4-secret" },
    "contact_info": { "primary_email": "shop@example.com", "additional_emails": [], "primary_phone": "1" },
    "company_info": { "legal_name": "Old Shop", "dba_name": null, "business_address": address.clone(),
                      "shipping_address": null },
    "business_info": {}, "rating": 4.5 };
    let product = doc! {
    "supplier_id": legacy.supplier, "supplier_info": { "name": "Old Shop" }, "name": "Lamp",
    "short_description": null, "topic_descriptions": [], "category": "other", "unit_type": "piece",
    "metadata": { "base_sku": "L", "brand": null }, "stock_locations": [], "variants": {},
    "base_price_cents": 100, "stats": { "view_count": 3, "favorite_count": 0, "purchase_count": 0,
    "total_reviews": 0 }, "status": "active", "published_at": DateTime::from_millis(1_700_000_000_123) };
    let order = doc! {
    "order_number": "ORD-20231114-ABCD", "status": "pending",
    "customer": { "user_id": legacy.user, "display_name": "Old", "email": "old@example.com", "phone": null },
    "shipping_address": with(address, doc! { "recipient_name": "Old", "phone": null }),
    "items": [{ "item_id": "item_1", "quantity": 1, "unit_price_cents": 100, "final_price_cents": 100,
        "total_cents": 100, "product_snapshot": { "product_id": legacy.product, "supplier_id": legacy.supplier,
        "product_name": "Lamp", "variant_name": null, "variant_attributes": {}, "image_url": "i",
        "supplier_name": "Old Shop" } }] };
    let post = doc! {
    "post_type": "text", "text_content": "Hello", "media": [], "link_preview": null, "deleted_at": null,
    "author": { "user_id": legacy.user, "display_name": "Old", "avatar": "a", "author_type": "leader" },
    "stats": { "view_count": 1, "like_count": 0, "comment_count": 0, "share_count": 0, "save_count": 0,
    "engagement_rate": 0.5, "last_comment_at": null }, "published_at": DateTime::from_millis(1_700_000_000_123) };
    for (collection, id, fields) in [
        ("User", legacy.user, user),
        ("suppliers", legacy.supplier, supplier),
        ("products", legacy.product, product),
        ("orders", legacy.order, order),
        ("posts", legacy.post, post),
    ] {
        database.collection(collection).insert_one(with(common(id), fields)).await.unwrap();
    }
    legacy
}

fn of(id: ObjectId) -> Value {
    json!({ "id": id.to_hex() })
}

#[tokio::test]
async fn a_database_of_the_python_system_is_taken_over() {
    let database = Database::fresh().await;
    let legacy = leave_behind(&database).await;
    let api = Api::on(database).await;
    let names = api.database.collection_names().await;
    assert!(
        names.iter().any(|name| name == "users") && !names.iter().any(|name| name == "User"),
        "{names:?}"
    );

    let (user, supplier) = (of(legacy.user), of(legacy.supplier));
    let changes = [
        (documents::user(), legacy.user, json!({ "bio": "New" }), 1),
        (documents::supplier(), legacy.supplier, json!({ "dba_name": "New" }), 0),
        (documents::product(), legacy.product, json!({ "brand": "New" }), 0),
        (documents::post(), legacy.post, json!({ "text_content": "New" }), 0),
    ];
    for (domain, entity, change, version) in changes {
        let path = format!("/{}/{entity}", domain.collection);
        let before = api.get(&path).await.is(200).json();
        domain.check(&before);
        assert_eq!(before["version"], version, "{path}");
        assert_eq!(before["created_at"], "2023-11-14T22:13:20.123Z");
        let list = api.get(format!("/{}", domain.collection)).await.is(200).json();
        assert_eq!(list, json!([before]));

        let stored = api.database.stored(domain.collection, &entity.to_hex()).await.unwrap();
        let answer = api.patch(&path).user(&user).supplier(&supplier).json(&change).await;
        let changed = answer.is(200).json();
        assert_eq!(changed["version"], version + 1, "{path}");
        let event = api.database.event_of(&answer).await;
        event.carries(&format!("{}.updated", domain.topic), &changed);
        assert!(!event.payload.to_string().contains("revision_id"), "{event:?}");

        let kept = api.database.stored(domain.collection, &entity.to_hex()).await.unwrap();
        for field in ["revision_id", "password_hash", "banking_info", "loyalty", "rating"] {
            assert_eq!(kept.get(field), stored.get(field), "{field} of {path} stays");
        }
        let answered = api.get(&path).await.is(200).text.clone();
        assert!(!answered.contains("revision_id") && !answered.contains("$2b$"), "{answered}");
    }
    let post = api.get(format!("/posts/{}", legacy.post)).await.is(200).json();
    assert_eq!(post["author"]["author_type"], "leader");
    let own =
        api.get(format!("/suppliers/{}", legacy.supplier)).supplier(&supplier).await.is(200).json();
    assert_eq!(own["banking_info"]["account_number_last4"], "last4-secret");
}

#[tokio::test]
async fn what_the_python_system_left_goes_on_living() {
    let database = Database::fresh().await;
    let legacy = leave_behind(&database).await;
    let api = Api::on(database).await;
    let (user, supplier, product) = (of(legacy.user), of(legacy.supplier), of(legacy.product));

    let order = api.get(format!("/orders/{}", legacy.order)).user(&user).await.is(200).json();
    documents::order().check(&order);
    let cancelled = api.post(format!("/orders/{}/cancel", legacy.order)).user(&user).await;
    assert_eq!(cancelled.is(200).json()["version"], 1);
    api.post("/orders").user(&user).json(&new_order(&product)).await.is(201);
    api.post("/posts").user(&user).json(&new_post()).await.is(201);
    api.post("/products").supplier(&supplier).json(&new_product()).await.is(201);

    let mut taken = new_user();
    for address in ["old@example.com", "OLD@example.com"] {
        taken["email"] = json!(address);
        api.refuses(api.post("/users").json(&taken), 409, "DUPLICATE_RESOURCE").await;
    }
    let answer = api.delete(format!("/suppliers/{}", legacy.supplier)).await;
    let event = api.database.event_of(answer.is(204)).await;
    event.tells_deletion("supplier", &legacy.supplier.to_hex(), 1);
    let events = api.database.events_of(&legacy.product.to_hex()).await;
    events.last().unwrap().tells_deletion("product", &legacy.product.to_hex(), 1);
    api.delete(format!("/users/{}", legacy.user)).await.is(204);
    api.get(format!("/users/{}", legacy.user)).await.refused(404, "RESOURCE_NOT_FOUND");
}

/// A second start, or a second instance, finds everything in place.
#[tokio::test]
async fn the_take_over_can_be_repeated() {
    let database = Database::fresh().await;
    leave_behind(&database).await;
    let first = Api::on(database).await;
    let before = first.database.snapshot().await;
    let (one, two) = tokio::join!(first.another(), first.another());
    for server in [one, two] {
        server.stop().await;
    }
    assert_eq!(first.database.snapshot().await, before);
}

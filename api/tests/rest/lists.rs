//! Lists: their windows, filters and order, and what is never in them.

use mongodb::bson::{Bson, DateTime, oid::ObjectId};
use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::fixtures::{new_order, new_product};
use crate::harness::Api;

/// The ids of a list, in its order.
async fn ids(call: Call) -> Vec<String> {
    let list = call.await.is(200).json();
    list.as_array().unwrap().iter().map(|each| id(each).to_owned()).collect()
}

pub fn ids_of<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    documents.into_iter().map(|each| id(each).to_owned()).collect()
}

/// Some of each domain, and their ids in the order in which its list must show them.
pub struct Full {
    pub api: Api,
    pub user: Value,
    pub lists: [(&'static str, Vec<String>); 5],
}

pub async fn full(each: usize) -> Full {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let order = api.order(&user, &product).await;
    let post = api.post_by(&user).await;
    let mut lists = [
        ("/users", ids_of([&user])),
        ("/suppliers", ids_of([&supplier])),
        ("/products", ids_of([&product])),
        ("/orders", ids_of([&order])),
        ("/posts", ids_of([&post])),
    ];
    for (path, ids) in &mut lists {
        for number in 1..each {
            ids.push(copy(&api, &path[1..], &ids[0], number).await);
        }
    }
    // Newest first; and of those of one moment, the one that was made last.
    lists[2..].iter_mut().for_each(|(_, ids)| ids.reverse());
    Full { api, user, lists }
}

/// Another document like that one and, for two of three, from its very moment.
pub async fn copy(api: &Api, collection: &str, id: &str, number: usize) -> String {
    let mut document = api.database.stored(collection, id).await.unwrap();
    let copy = ObjectId::new();
    let later =
        |moment: &DateTime| DateTime::from_millis(moment.timestamp_millis() + (number / 3) as i64);
    for field in ["created_at", "published_at"] {
        if let Some(Bson::DateTime(moment)) = document.get(field) {
            let moment = later(moment);
            document.insert(field, moment);
        }
    }
    document.insert("_id", copy);
    if let Ok(contact) = document.get_document_mut("contact_info") {
        contact.insert("primary_email", format!("{copy}@example.com"));
    }
    if document.contains_key("order_number") {
        document.insert("order_number", copy.to_hex());
    }
    api.database.collection(collection).insert_one(document).await.unwrap();
    copy.to_hex()
}

#[tokio::test]
async fn windows() {
    let Full { api, user, lists } = full(23).await;
    for (path, all) in lists {
        let window = |query: &str| ids(api.get(format!("{path}{query}")).user(&user));
        assert_eq!(window("").await, all[..20], "{path}: twenty by default");
        assert_eq!(window("?limit=100").await, all, "{path}");
        assert_eq!(window("?limit=1").await, all[..1], "{path}");
        assert_eq!(window("?skip=0&limit=5").await, all[..5], "{path}");
        assert_eq!(window("?skip=20").await, all[20..], "{path}");
        assert_eq!(window("?skip=21&limit=2").await, all[21..23], "{path}");
        assert!(window("?skip=23").await.is_empty(), "{path}");
        assert!(window("?skip=2000000000").await.is_empty(), "{path}");
        for (query, field) in [
            ("skip=-1", "skip"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
            ("limit=", "limit"),
            ("limit=1.5", "limit"),
            ("skip=x", "skip"),
            ("skip=99999999999999999999", "skip"),
            ("limit=1&limit=2", "limit"),
        ] {
            let answer = api.get(format!("{path}?{query}")).user(&user).await;
            let details = answer.refused(422, "VALIDATION_ERROR");
            let text = details.to_string();
            assert!(text.contains(field), "{}: {text}", answer.what);
        }
    }
}

#[tokio::test]
async fn products_by_status_category_and_supplier() {
    let api = Api::start().await;
    let (one, other) = (api.supplier().await, api.supplier().await);
    let mut fashion = new_product();
    fashion["category"] = json!("fashion");
    let draft = api.post("/products").supplier(&one).json(&fashion).await.is(201).json();
    let active = api.active_product(&one).await;
    let sold_out = api.active_product(&other).await;
    api.act(&other, &sold_out, "mark-out-of-stock").await;
    let gone = api.draft(&other).await;
    api.delete(format!("/products/{}", id(&gone))).supplier(&other).await.is(204);

    let (one, other) = (format!("supplier_id={}", id(&one)), format!("supplier_id={}", id(&other)));
    let cases: Vec<(String, Vec<&Value>)> = vec![
        (String::new(), vec![&sold_out, &active, &draft]),
        ("status=".to_owned(), vec![&sold_out, &active, &draft]),
        ("status=draft".to_owned(), vec![&draft]),
        ("status=draft,active".to_owned(), vec![&active, &draft]),
        ("status=draft%2C%20active".to_owned(), vec![&active, &draft]),
        ("status=active,out_of_stock,discontinued".to_owned(), vec![&sold_out, &active]),
        ("status=deleted".to_owned(), vec![]),
        ("status=deleted,draft".to_owned(), vec![&draft]),
        ("category=fashion".to_owned(), vec![&draft]),
        ("category=automotive".to_owned(), vec![]),
        (one.clone(), vec![&active, &draft]),
        (other.clone(), vec![&sold_out]),
        (format!("supplier_id={}", "0".repeat(24)), vec![]),
        (format!("{one}&status=active&category=home_garden"), vec![&active]),
        (format!("{one}&status=active&category=fashion"), vec![]),
        (format!("{one}&skip=1&limit=1"), vec![&draft]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(api.get(format!("/products?{query}"))).await, ids_of(expected), "{query}");
    }
    for (query, field) in [
        ("status=unknown", "status"),
        ("status=draft,unknown", "status"),
        ("category=cars", "category"),
        ("supplier_id=abc", "supplier_id"),
        ("category=", "category"),
        ("supplier_id=", "supplier_id"),
    ] {
        api.get(format!("/products?{query}")).await.names(field);
    }
}

#[tokio::test]
async fn orders_are_the_callers_own() {
    let api = Api::start().await;
    let (one, other, supplier) = (api.user().await, api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let first = api.order(&one, &product).await;
    let foreign = api.order(&other, &product).await;
    let second = api.order(&one, &product).await;
    api.post(format!("/orders/{}/cancel", id(&first))).user(&one).await.is(200);
    let confirmed = api.post("/orders").user(&one).json(&new_order(&product)).await.is(201).json();
    api.database.set("orders", id(&confirmed), "status", "confirmed").await;

    let list = |query: &str| ids(api.get(format!("/orders{query}")).user(&one));
    assert_eq!(list("").await, ids_of([&confirmed, &second, &first]));
    assert_eq!(list("?status=pending").await, ids_of([&second]));
    assert_eq!(list("?status=cancelled,confirmed").await, ids_of([&confirmed, &first]));
    assert!(list("?status=refunded").await.is_empty());
    assert_eq!(ids(api.get("/orders").user(&other)).await, ids_of([&foreign]));
    let nobody = json!({ "id": "0".repeat(24) });
    assert!(ids(api.get("/orders").user(&nobody)).await.is_empty());
    api.get("/orders?status=unknown").user(&one).await.names("status");
    let path = format!("/orders/{}", id(&foreign));
    api.get(path).user(&one).await.refused(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn posts_are_shown_once_published_and_until_deleted() {
    let api = Api::start().await;
    let (one, other) = (api.user().await, api.user().await);
    let late = api.draft_post(&one).await;
    let first = api.post_by(&one).await;
    let foreign = api.post_by(&other).await;
    let hidden = api.draft_post(&one).await;
    let gone = api.post_by(&one).await;
    api.delete(format!("/posts/{}", id(&gone))).user(&one).await.is(204);
    api.post(format!("/posts/{}/publish", id(&late))).user(&one).await.is(200);

    assert_eq!(ids(api.get("/posts")).await, ids_of([&late, &foreign, &first]), "newest published");
    let by = |author: &Value| format!("/posts?author_id={}", id(author));
    assert_eq!(ids(api.get(by(&one))).await, ids_of([&late, &first]));
    assert_eq!(ids(api.get(by(&other))).await, ids_of([&foreign]));
    assert!(ids(api.get(by(&hidden))).await.is_empty());
    api.get("/posts?author_id=me").await.names("author_id");
    assert_eq!(api.get(format!("/posts/{}", id(&hidden))).await.is(200).json(), hidden);
}

#[tokio::test]
async fn deleted_users_and_suppliers_are_not_listed() {
    let api = Api::start().await;
    let (kept, gone) = (api.user().await, api.user().await);
    api.delete(format!("/users/{}", id(&gone))).await.is(204);
    assert_eq!(ids(api.get("/users")).await, ids_of([&kept]));
    let (kept, gone) = (api.supplier().await, api.supplier().await);
    api.delete(format!("/suppliers/{}", id(&gone))).await.is(204);
    assert_eq!(ids(api.get("/suppliers")).await, ids_of([&kept]));
}

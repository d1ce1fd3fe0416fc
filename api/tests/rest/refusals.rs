//! Who may not, what is not there, what the state forbids: the code of the contract,
//! and no trace in the database.

use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::fixtures::{new_order, new_post, new_product};
use crate::harness::Api;

/// Whose header a request on an existing thing needs.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nobody,
    User,
    Supplier,
}

/// The collection of a thing, and every request on it: method and path after the id.
type Requests = (&'static str, Needs, &'static [(Method, &'static str)]);

/// All of the contract.
const ON_ONE: [Requests; 5] = [
    ("users", Needs::Nobody, &[(Method::GET, ""), (Method::PATCH, ""), (Method::DELETE, "")]),
    ("suppliers", Needs::Nobody, &[(Method::GET, ""), (Method::PATCH, ""), (Method::DELETE, "")]),
    (
        "products",
        Needs::Supplier,
        &[
            (Method::GET, ""),
            (Method::PATCH, ""),
            (Method::DELETE, ""),
            (Method::POST, "/publish"),
            (Method::POST, "/discontinue"),
            (Method::POST, "/mark-out-of-stock"),
            (Method::POST, "/restore"),
        ],
    ),
    ("orders", Needs::User, &[(Method::GET, ""), (Method::POST, "/cancel")]),
    (
        "posts",
        Needs::User,
        &[(Method::GET, ""), (Method::PATCH, ""), (Method::DELETE, ""), (Method::POST, "/publish")],
    ),
];

/// Reads of products and posts are for everybody.
fn is_open(collection: &str, method: &Method) -> bool {
    method == Method::GET && collection != "orders"
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    for (collection, _, requests) in ON_ONE {
        for (method, suffix) in requests {
            for unknown in ["0".repeat(24), "nonsense".to_owned(), "0".repeat(25), "%20".to_owned()]
            {
                let call = api.call(method.clone(), format!("/{collection}/{unknown}{suffix}"));
                let call = call.user(&user).supplier(&supplier).json(&json!({}));
                api.refuses(call, 404, "RESOURCE_NOT_FOUND").await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_deleted_is_not_found() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let (gone_user, gone_supplier) = (api.user().await, api.supplier().await);
    let product = api.draft(&supplier).await;
    let post = api.post_by(&user).await;
    let deleted = [
        ("users", &gone_user),
        ("suppliers", &gone_supplier),
        ("products", &product),
        ("posts", &post),
    ];
    for (collection, document) in deleted {
        let call = api.delete(format!("/{collection}/{}", id(document)));
        call.user(&user).supplier(&supplier).await.is(204);
    }
    for (collection, document) in deleted {
        let requests = ON_ONE.iter().find(|(name, ..)| *name == collection).unwrap().2;
        for (method, suffix) in requests {
            let path = format!("/{collection}/{}{suffix}", id(document));
            let call = api.call(method.clone(), path).user(&user).supplier(&supplier);
            api.refuses(call.json(&json!({})), 404, "RESOURCE_NOT_FOUND").await;
        }
    }
}

/// Sound requests, so that nothing but the caller can be wrong with them.
struct Owned {
    user: Value,
    supplier: Value,
    product: Value,
    order: Value,
    post: Value,
}

impl Owned {
    async fn by(api: &Api) -> Self {
        let (user, supplier) = (api.user().await, api.supplier().await);
        let product = api.active_product(&supplier).await;
        let order = api.order(&user, &product).await;
        let post = api.draft_post(&user).await;
        Self { user, supplier, product, order, post }
    }

    /// Path, method and body of every write that needs a caller.
    fn writes(&self) -> Vec<(Needs, Method, String, Value)> {
        let mut writes = vec![
            (Needs::Supplier, Method::POST, "/products".to_owned(), new_product()),
            (Needs::User, Method::POST, "/orders".to_owned(), new_order(&self.product)),
            (Needs::User, Method::POST, "/posts".to_owned(), new_post()),
        ];
        for (collection, needs, requests) in ON_ONE {
            let subject = match collection {
                "products" => &self.product,
                "orders" => &self.order,
                _ => &self.post,
            };
            for (method, suffix) in requests {
                if needs != Needs::Nobody && !is_open(collection, method) {
                    let path = format!("/{collection}/{}{suffix}", id(subject));
                    writes.push((needs, method.clone(), path, json!({})));
                }
            }
        }
        writes
    }
}

#[tokio::test]
async fn callers_who_do_not_say_who_they_are_are_refused() {
    let api = Api::start().await;
    let owned = Owned::by(&api).await;
    for (needs, method, path, body) in owned.writes() {
        // The header that the request does not ask for does not help.
        let call = api.call(method, &path).json(&body);
        let call = if needs == Needs::User {
            call.supplier(&owned.supplier)
        } else {
            call.user(&owned.user)
        };
        api.refuses(call, 401, "AUTHENTICATION_FAILED").await;
    }
    api.refuses(api.get("/orders"), 401, "AUTHENTICATION_FAILED").await;
}

/// Someone else's product or post is forbidden; someone else's order does not exist.
#[tokio::test]
async fn strangers_are_refused() {
    let api = Api::start().await;
    let owned = Owned::by(&api).await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    for (needs, method, path, body) in owned.writes() {
        if !path[1..].contains('/') {
            continue; // a create is nobody's yet
        }
        let call = api.call(method, &path).json(&body);
        let call = if needs == Needs::User { call.user(&user) } else { call.supplier(&supplier) };
        if path.starts_with("/orders") {
            api.refuses(call, 404, "RESOURCE_NOT_FOUND").await;
        } else {
            api.refuses(call, 403, "FORBIDDEN").await;
        }
    }
}

#[tokio::test]
async fn deleted_accounts_may_not_act() {
    let api = Api::start().await;
    let owned = Owned::by(&api).await;
    api.delete(format!("/users/{}", id(&owned.user))).await.is(204);
    for (needs, method, path, body) in owned.writes() {
        if needs == Needs::User && method != Method::GET {
            let call = api.call(method, &path).user(&owned.user).json(&body);
            api.refuses(call, 403, "ACCOUNT_STATUS_ERROR").await;
        }
    }
    // Suppliers leave nothing behind, so theirs is an account that nobody knows.
    api.delete(format!("/suppliers/{}", id(&owned.supplier))).await.is(204);
    let call = api.post("/products").supplier(&owned.supplier).json(&new_product());
    api.refuses(call, 404, "RESOURCE_NOT_FOUND").await;
}

//! POST /auth/login: who gets a token, and what the others learn.

use mongodb::bson::{DateTime, doc, oid::ObjectId};
use serde_json::json;

use crate::accounts::{email_of, token_mode, token_of};
use crate::call::{id, keys};
use crate::database::Database;
use crate::fixtures::{PASSWORD, email, new_post};
use crate::harness::Api;

#[tokio::test]
async fn a_login_answers_a_token() {
    let api = Api::believing_tokens().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    for (kind, document) in [("user", &user), ("supplier", &supplier)] {
        let before = api.database.snapshot().await;
        let shouted = format!(" {} ", email_of(document).to_uppercase());
        for address in [email_of(document), &shouted] {
            let answer = api.log_in(kind, address, PASSWORD).await;
            let body = answer.is(200).json();
            let expected =
                ["access_token", "account_id", "account_type", "expires_in", "token_type"];
            assert_eq!(keys(&body), expected);
            assert_eq!(body["token_type"], "Bearer");
            assert_eq!(body["expires_in"], 3600);
            assert_eq!(
                (&body["account_type"], &body["account_id"]),
                (&json!(kind), &document["id"])
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        assert_eq!(api.database.snapshot().await, before, "a login writes nothing");
    }
    // Users are whom most logins are of.
    let body = json!({ "email": email_of(&user), "password": PASSWORD });
    assert_eq!(api.post("/auth/login").json(&body).await.is(200).json()["account_id"], user["id"]);
}

#[tokio::test]
async fn with_headers_there_is_no_login() {
    let api = Api::start().await;
    let user = api.user().await;
    api.log_in("user", email_of(&user), PASSWORD).await.refused(404, "RESOURCE_NOT_FOUND");
}

/// Whether the address is unknown or the password wrong: the same answer, after the same
/// work.
#[tokio::test]
async fn a_refused_login_tells_nobody_who_has_an_account() {
    let api = Api::believing_tokens().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let unknown = email();
    let verified = || api.server.metric("api_password_hashes_total{operation=\"verify\"}");
    let mut answers = Vec::new();
    for (kind, address) in [
        ("user", email_of(&user)),
        ("user", unknown.as_str()),
        ("user", email_of(&supplier)),
        ("supplier", email_of(&supplier)),
        ("supplier", unknown.as_str()),
        ("supplier", email_of(&user)),
    ] {
        let before = verified().await;
        let answer = api.log_in(kind, address, "not the password").await;
        answer.refused(401, "AUTHENTICATION_FAILED");
        assert_eq!(verified().await - before, 1.0, "{}: hashes", answer.what);
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn what_is_no_login_is_refused_by_its_fields() {
    let api = Api::believing_tokens().await;
    for (body, field) in [
        (json!({ "password": PASSWORD }), "email"),
        (json!({ "email": "a@b.example" }), "password"),
        (json!({ "email": "nobody", "password": PASSWORD }), "email"),
        (json!({ "email": "a@b.example", "password": "" }), "password"),
        (json!({ "email": "a@b.example", "password": "x".repeat(129) }), "password"),
        (json!({ "email": "a@b.example", "password": 1 }), "password"),
        (
            json!({ "email": "a@b.example", "password": PASSWORD, "account_type": "admin" }),
            "account_type",
        ),
    ] {
        api.post("/auth/login").json(&body).await.names(field);
    }
}

#[tokio::test]
async fn the_deleted_may_not_log_in() {
    let api = Api::believing_tokens().await;
    let (user, supplier) = (api.user_account().await, api.supplier_account().await);
    for (path, account) in [("users", &user), ("suppliers", &supplier)] {
        let path = format!("/{path}/{}", id(&account.document));
        api.delete(path).token(&account.token).await.is(204);
    }
    let address = email_of(&user.document);
    api.log_in("user", address, PASSWORD).await.refused(403, "ACCOUNT_STATUS_ERROR");
    // Only who knows the password learns that there was an account.
    api.log_in("user", address, "a wrong one").await.refused(401, "AUTHENTICATION_FAILED");
    let gone = api.log_in("supplier", email_of(&supplier.document), PASSWORD).await;
    gone.refused(401, "AUTHENTICATION_FAILED");
    // Nor may they act with the token of before.
    let post = api.post("/posts").token(&user.token).json(&new_post());
    api.refuses(post, 403, "ACCOUNT_STATUS_ERROR").await;
    let product = crate::fixtures::new_product();
    let product = api.post("/products").token(&supplier.token).json(&product);
    api.refuses(product, 403, "ACCOUNT_STATUS_ERROR").await;
}

#[tokio::test]
async fn an_account_is_tried_only_so_often() {
    let api = Api::with(&token_mode(&["--login-attempts-per-account=3"])).await;
    let (user, other) = (api.user().await, api.user().await);
    for _ in 0..3 {
        let wrong = api.log_in("user", email_of(&user), "wrong").await;
        wrong.refused(401, "AUTHENTICATION_FAILED");
    }
    let hashes = api.server.metric("api_password_hashes_total{operation=\"verify\"}").await;
    // The right password does not help, and costs no hash; the case does not matter.
    let shouted = email_of(&user).to_uppercase();
    for address in [email_of(&user), &shouted] {
        let refused = api.log_in("user", address, PASSWORD).await;
        refused.refused(429, "RATE_LIMITED");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
    }
    let after = api.server.metric("api_password_hashes_total{operation=\"verify\"}").await;
    assert_eq!(after, hashes);
    api.log_in("user", email_of(&other), PASSWORD).await.is(200);
    api.log_in("supplier", email_of(&user), PASSWORD).await.refused(401, "AUTHENTICATION_FAILED");
}

#[tokio::test]
async fn an_address_tries_only_so_often() {
    let settings = ["--login-attempts-per-address=3", "--trusted-proxies=1"];
    let api = Api::with(&token_mode(&settings)).await;
    let from = |address: &str| {
        api.log_in("user", &email(), "wrong password").header("X-Forwarded-For", address)
    };
    for _ in 0..3 {
        from("203.0.113.7").await.refused(401, "AUTHENTICATION_FAILED");
    }
    let refused = from("203.0.113.7").await;
    refused.refused(429, "RATE_LIMITED");
    assert!(refused.header("retry-after").is_some());
    // What the client writes in front of the proxy's word changes nothing.
    from("198.51.100.1, 203.0.113.7").await.refused(429, "RATE_LIMITED");
    from("203.0.113.8").await.refused(401, "AUTHENTICATION_FAILED");
}

/// Hashes of the Python system work, and are replaced at the first login, without a trace
/// in what readers of the events see.
#[tokio::test]
async fn a_bcrypt_hash_becomes_argon2id_at_the_first_login() {
    let database = Database::fresh().await;
    let then = DateTime::from_millis(1_700_000_000_123);
    let user = ObjectId::new();
    let legacy = doc! {
        "_id": user, "version": 1, "revision_id": ObjectId::new(), "created_at": then,
        "updated_at": then, "deleted_at": null,
        "password_hash": bcrypt::hash(PASSWORD, 4).unwrap(),
        "contact_info": { "primary_email": "old@example.com", "additional_emails": [] },
        "profile": { "display_name": "Old", "avatar": "https://a/b.png" },
    };
    database.collection("User").insert_one(&legacy).await.unwrap();
    let api = Api::believing_tokens_on(database).await;
    let stored = async || api.database.stored("users", &user.to_hex()).await.unwrap();

    let wrong = api.log_in("user", "old@example.com", "wrong").await;
    wrong.refused(401, "AUTHENTICATION_FAILED");
    assert_eq!(stored().await, legacy, "only the right password renews the hash");

    let token = token_of(&api.log_in("user", "old@example.com", PASSWORD).await);
    let mut renewed = stored().await;
    let hash = renewed.insert("password_hash", legacy.get_str("password_hash").unwrap()).unwrap();
    assert!(hash.as_str().unwrap().starts_with("$argon2id$"), "{hash}");
    assert_eq!(renewed, legacy, "nothing else has changed, the version least of all");
    assert!(api.database.events().await.is_empty());

    api.log_in("user", "old@example.com", PASSWORD).await.is(200);
    assert_eq!(stored().await.get("password_hash"), Some(&hash), "once is enough");
    let path = format!("/users/{user}");
    let changed = api.patch(path).token(&token).json(&json!({ "bio": "New" })).await;
    assert_eq!(changed.is(200).json()["version"], 2);
}

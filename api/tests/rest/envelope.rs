//! What is refused before a handler sees it: the same envelope, and no trace.

use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::fixtures::{new_product, new_user};
use crate::harness::Api;
use crate::surface::PATHS;

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let api = Api::start().await;
    let user = api.user().await;
    let path = format!("/users/{}", id(&user));
    let deep = format!("{{\"bio\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [&[u8]; 12] = [
        b"",
        b" ",
        b"{",
        b"{\"bio\":}",
        b"{} {}",
        b"[]",
        b"\"text\"",
        b"null",
        b"{\"bio\":NaN}",
        b"{\"bio\":\"\xff\xfe\"}",
        deep.as_bytes(),
        b"{\"ignored\":\"\xff\"}",
    ];
    for body in bodies {
        for call in [api.post("/users"), api.patch(&path)] {
            let call = call.header("content-type", "application/json").bytes(body.to_vec());
            let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
            assert!(!details.as_object().unwrap().is_empty(), "{details}");
        }
    }
}

/// Numbers that no machine type holds.
#[tokio::test]
async fn numbers_beyond_all_bounds_are_refused() {
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let sound = new_product().to_string();
    for (from, to) in [
        ("\"base_price_cents\":2500", "\"base_price_cents\":123456789012345678901234567890"),
        ("\"base_price_cents\":2500", "\"base_price_cents\":1e400"),
        ("\"width_cm\":20.5", "\"width_cm\":1e400"),
        ("\"width_cm\":20.5", "\"width_cm\":-1e400"),
    ] {
        let body = sound.replace(from, to);
        assert_ne!(body, sound, "{from}");
        let call = api.post("/products").supplier(&supplier).bytes(body);
        api.refuses(call, 422, "VALIDATION_ERROR").await;
    }
}

/// Existing clients send fields that nobody reads any more.
#[tokio::test]
async fn unknown_fields_and_parameters_are_ignored() {
    let api = Api::start().await;
    let mut body = new_user();
    body["id"] = json!("f".repeat(24));
    body["version"] = json!(99);
    body["deleted_at"] = json!("2026-01-01T00:00:00Z");
    body["nested"] = json!({ "anything": [1, 2, 3] });
    let user = api.post("/users?source=app").json(&body).await.is(201).json();
    assert_eq!(user["version"], 1);
    assert_ne!(user["id"], body["id"]);
    assert!(user["deleted_at"].is_null() && user.get("nested").is_none(), "{user}");
    api.get("/users?unknown=1&other").await.is(200);
}

#[tokio::test]
async fn a_body_may_have_one_mebibyte_and_no_byte_more() {
    const LIMIT: usize = 1024 * 1024;
    let api = Api::start().await;
    let sized = |size: usize| {
        let mut body = new_user();
        body["padding"] = json!("");
        let empty = body.to_string().len();
        body["padding"] = json!("x".repeat(size - empty));
        body.to_string()
    };
    api.post("/users").bytes(sized(LIMIT)).await.is(201);
    let code = "VALIDATION_ERROR";
    api.refuses(api.post("/users").bytes(sized(LIMIT + 1)), 413, code).await;
    let unread = api.post("/users").header("content-type", "text/plain").bytes(sized(LIMIT + 1));
    api.refuses(unread, 415, code).await;
}

#[tokio::test]
async fn only_json_is_taken() {
    let api = Api::start().await;
    let sound = |content_type: Option<&str>| {
        let call = api.post("/users").bytes(new_user().to_string());
        content_type.map_or_else(
            || api.post("/users").bytes(new_user().to_string()),
            |value| call.header("content-type", value),
        )
    };
    for taken in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("APPLICATION/JSON"),
        Some("application/vnd.api+json"),
    ] {
        sound(taken).await.is(201);
    }
    for refused in
        ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ""]
    {
        api.refuses(sound(Some(refused)), 415, "VALIDATION_ERROR").await;
    }
}

/// All that the contract does not name are 405.
#[tokio::test]
async fn other_methods_are_refused_and_the_right_ones_named() {
    let api = Api::start().await;
    for (path, methods) in PATHS {
        let path = path.replace("{id}", &"0".repeat(24));
        for method in
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        {
            if methods.split(' ').any(|allowed| allowed == method.as_str()) {
                continue;
            }
            let answer = api.call(method, &path).await;
            answer.refused(405, "VALIDATION_ERROR");
            let allow = answer.header("allow").unwrap_or_default();
            for allowed in methods.split(' ') {
                assert!(allow.contains(allowed), "{}: Allow: {allow}", answer.what);
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let api = Api::start().await;
    let one = "0".repeat(24);
    for path in ["/nothing", "/users/", "/user", "//users", "/users/%ff", "/api/users"] {
        api.get(path).await.refused(404, "RESOURCE_NOT_FOUND");
    }
    for path in [format!("/orders/{one}/ship-it"), format!("/posts/{one}/restore")] {
        api.post(path).await.refused(404, "RESOURCE_NOT_FOUND");
    }
}

/// A client that finds its answer in a log needs the same id on both sides.
#[tokio::test]
async fn the_request_id_comes_back() {
    let api = Api::start().await;
    let given = api.get("/users").header("x-request-id", "mine-1").await;
    assert_eq!(given.is(200).header("x-request-id"), Some("mine-1"));
    let refused = api.get("/users/1").header("x-request-id", "mine-2").await;
    assert_eq!(refused.header("x-request-id"), Some("mine-2"));
    let made = api.get("/users").await;
    assert!(made.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

/// What identifies the caller is a rule like any other: named, and refused if broken.
#[tokio::test]
async fn broken_identity_headers_are_named() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let cases: [(&str, &str, &Value); 2] =
        [("X-User-ID", "/posts", &user), ("X-Supplier-ID", "/products", &supplier)];
    for (header, path, caller) in cases {
        for broken in ["", "abc", "zzzzzzzzzzzzzzzzzzzzzzzz"] {
            let call = api.post(path).header(header, broken).json(&json!({}));
            let details = api.refuses(call, 422, "VALIDATION_ERROR").await;
            assert!(details[header].is_string(), "{details}");
        }
        let twice = api.post(path).header(header, id(caller)).header(header, "0".repeat(24));
        api.refuses(twice.json(&json!({})), 422, "VALIDATION_ERROR").await;
        let latin = api.post(path).header(header, b"\xe9").json(&json!({}));
        api.refuses(latin, 422, "VALIDATION_ERROR").await;
    }
}

//! What browsers are told.

use reqwest::Method;

use crate::call::Answer;
use crate::fixtures::new_user;
use crate::harness::Api;

const SHOP: &str = "https://shop.example";

async fn preflight(api: &Api, origin: &str) -> Answer {
    let call = api.call(Method::OPTIONS, "/users").header("Origin", origin);
    call.header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "content-type,if-match")
        .await
}

#[tokio::test]
async fn by_default_no_page_of_another_origin_may_call() {
    let api = Api::start().await;
    preflight(&api, SHOP).await.refused(405, "VALIDATION_ERROR");
    let answer = api.get("/users").header("Origin", SHOP).await;
    assert_eq!(answer.is(200).header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn the_origins_that_are_set_may_call() {
    let api = Api::with(&["--cors-origins=https://shop.example,http://localhost:3000"]).await;
    let allowed = preflight(&api, SHOP).await;
    assert_eq!(allowed.is(200).header("access-control-allow-origin"), Some(SHOP));
    let methods = allowed.header("access-control-allow-methods").unwrap();
    assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)));
    let headers = allowed.header("access-control-allow-headers").unwrap();
    for header in ["authorization", "idempotency-key", "if-match", "x-user-id", "x-supplier-id"] {
        assert!(headers.contains(header), "{header} not in {headers}");
    }
    let stranger = preflight(&api, "https://evil.example").await;
    assert_eq!(stranger.header("access-control-allow-origin"), None);

    // Refusals too can be read, or a page could not tell why.
    let made = api.post("/users").header("Origin", SHOP).json(&new_user()).await;
    let refused = api.get("/users/1").header("Origin", SHOP).await;
    for answer in [made.is(201), refused.is(404)] {
        assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP), "{}", answer.what);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for header in
            ["etag", "link", "x-event-id", "x-request-id", "idempotent-replayed", "retry-after"]
        {
            assert!(exposed.contains(header), "{header} not in {exposed}");
        }
    }
}

#[tokio::test]
async fn every_answer_is_data_and_no_page() {
    let api = Api::start().await;
    let answers = [
        api.get("/users").await,
        api.post("/users").json(&new_user()).await,
        api.get("/nothing").await,
        api.call(Method::PUT, "/users").await,
        api.get("/metrics").await,
        api.get("/ready").await,
    ];
    for answer in answers {
        let what = &answer.what;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{what}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{what}: {policy}");
    }
}

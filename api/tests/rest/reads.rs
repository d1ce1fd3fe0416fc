//! Every read of the contract: status, shape, and no event.

use futures::future::{join_all, join3};
use serde_json::{Value, json};

use crate::call::id;
use crate::documents::{self, Domain};
use crate::harness::Api;

#[tokio::test]
async fn reads_answer_documents_and_write_nothing() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let product = api.active_product(&supplier).await;
    let order = api.order(&user, &product).await;
    let post = api.post_by(&user).await;
    let mut supplier = supplier;
    supplier["product_ids"] = json!([product["id"]]);
    supplier["banking_info"] = Value::Null;

    let before = api.database.snapshot().await;
    let domains: [(Domain, &Value); 5] = [
        (documents::user(), &user),
        (documents::supplier(), &supplier),
        (documents::product(), &product),
        (documents::order(), &order),
        (documents::post(), &post),
    ];
    for (domain, document) in domains {
        let list = api.get(format!("/{}", domain.collection)).user(&user).await.is(200).json();
        assert_eq!(list, json!([document]), "a bare array");
        domain.check(&list[0]);
        let path = format!("/{}/{}", domain.collection, id(document));
        let one = api.get(&path).user(&user).await;
        assert_eq!(&one.is(200).json(), document);
        assert_eq!(one.header("x-event-id"), None, "{path}");
        // A client may ask with either case of the hex digits.
        let upper = format!("/{}/{}", domain.collection, id(document).to_uppercase());
        assert_eq!(&api.get(upper).user(&user).await.is(200).json(), document);
    }
    assert_eq!(api.database.snapshot().await, before, "a read wrote something");
}

#[tokio::test]
async fn liveness_says_what_it_can_reach() {
    let api = Api::start().await;
    let root = api.get("/").await.is(200).json();
    assert_eq!(root["status"], "healthy", "{root}");
    let health = api.get("/health").await.is(200).json();
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(health["dependencies"]["mongodb"]["state"], "up", "{health}");
    api.get("/live").await.is(200);
    let ready = api.get("/ready").await.is(200).json();
    assert_eq!(ready["ready"], true, "{ready}");
    assert!(api.database.events().await.is_empty());
}

/// Labels are templates: an id in one would grow a series for every document.
#[tokio::test]
async fn metrics_count_requests_by_route() {
    let api = Api::start().await;
    let user = api.user().await;
    api.get(format!("/users/{}", id(&user))).await.is(200);
    api.get(format!("/users/{}", "0".repeat(24))).await.is(404);
    api.get("/nobody/knows").await.is(404);
    let metrics = api.get("/metrics").await;
    metrics.is(200);
    for wanted in ["route=\"/users/{id}\",status=\"200\"", "route=\"/users/{id}\",status=\"404\""] {
        assert!(metrics.text.contains(wanted), "{wanted} is not in {}", metrics.text);
    }
    for series in ["http_requests_total", "http_request_duration_seconds_count"] {
        let labels = "{method=\"GET\",route=\"/users/{id}\",status=\"200\"}";
        assert_eq!(api.server.metric(&format!("{series}{labels}")).await, 1.0, "{series}");
    }
    assert!(!metrics.text.contains(id(&user)) && !metrics.text.contains("/nobody/knows"));
}

/// Look-ups share queries; nobody gets another's document, or one from before its own
/// question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_at_once_each_get_what_they_asked_for() {
    let api = Api::start().await;
    let user = api.user().await;
    let posts = join_all((0..40).map(|_| api.post_by(&user))).await;
    let read = async |post: &Value| {
        let answer = api.get(format!("/posts/{}", id(post))).await;
        assert_eq!(&answer.is(200).json(), post);
    };
    let missing = async |_| {
        api.get(format!("/posts/{}", shared::Id::new())).await.refused(404, "RESOURCE_NOT_FOUND");
    };
    let change_and_read = async |post: &Value| {
        let path = format!("/posts/{}", id(post));
        let change = json!({ "text_content": "changed" });
        let changed = api.patch(&path).user(&user).json(&change).await.is(200).json();
        assert_eq!(api.get(&path).await.is(200).json(), changed, "it reads its own write");
    };
    let (still, moving) = posts.split_at(20);
    join3(
        join_all(still.iter().chain(still).chain(still).map(read)),
        join_all((0..20).map(missing)),
        join_all(moving.iter().map(change_and_read)),
    )
    .await;
}

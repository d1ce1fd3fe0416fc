//! Documents that are long: pages end before they are too many bytes, and what is copied
//! into other documents is bounded.

use mongodb::bson::{doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::call::{Answer, id};
use crate::fixtures::{new_order, new_post, new_product};
use crate::harness::Api;

/// What a page may weigh: 4 MiB and one document.
const PAGE_BYTES: usize = 5 << 20;

/// Where the Link header goes on.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    Some(link.strip_prefix('<')?.split_once(">; rel=\"next\"")?.0.to_owned())
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_many_bytes_and_goes_on() {
    const PRODUCTS: usize = 30;
    let api = Api::start().await;
    let supplier = api.supplier().await;
    let draft = api.draft(&supplier).await;
    let mut template = api.database.stored("products", id(&draft)).await.unwrap();
    let products = api.database.collection("products");
    let mut expected = vec![id(&draft).to_owned()];
    let mut copies = Vec::new();
    for number in 1..PRODUCTS {
        let key = ObjectId::new();
        template.insert("_id", key);
        // Small ones between large ones.
        let length = if number % 3 == 0 { 10 } else { 700_000 };
        template.insert("short_description", "x".repeat(length));
        copies.push(template.clone());
        expected.insert(0, key.to_hex());
    }
    products.insert_many(copies).await.unwrap();

    let mut path = "/products?limit=100&category=home_garden".to_owned();
    let (mut seen, mut pages) = (Vec::<String>::new(), 0);
    loop {
        let answer = api.get(&path).await;
        let documents = answer.is(200).json();
        let documents = documents.as_array().unwrap();
        assert!(!documents.is_empty(), "a page gets on");
        assert!(answer.text.len() < PAGE_BYTES, "{} bytes", answer.text.len());
        seen.extend(documents.iter().map(|document| id(document).to_owned()));
        pages += 1;
        match next(&answer) {
            Some(next) => path = next,
            None => break,
        }
    }
    // All have the moment of the one that they are copies of.
    expected.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(seen, expected);
    assert!((3..=5).contains(&pages), "{pages} pages for 14 MiB");
    let few = api.get("/products?limit=3&skip=1").await.is(200).json();
    assert_eq!(few.as_array().unwrap().len(), 3);
}

/// A document that was written around the api, or by another release of it.
#[tokio::test]
async fn a_document_that_cannot_be_read_does_not_break_its_page() {
    let api = Api::start().await;
    let user = api.user().await;
    let posts = [api.post_by(&user).await, api.post_by(&user).await, api.post_by(&user).await];
    api.database.set("posts", id(&posts[1]), "post_type", "of the future").await;
    let page = api.get("/posts").await.is(200).json();
    assert_eq!(page, json!([posts[2], posts[0]]));
    let undecodable = "api_undecodable_documents_total{collection=\"posts\"}";
    assert!(api.server.metric(undecodable).await >= 1.0);
    let first = api.get("/posts?limit=1").await;
    assert_eq!(first.is(200).json(), json!([posts[2]]));
    let second = api.get(next(&first).unwrap()).await;
    assert_eq!(second.is(200).json(), json!([]), "its place stays empty");
    let third = api.get(next(&second).unwrap()).await;
    assert_eq!((third.is(200).json(), next(&third)), (json!([posts[0]]), None));
}

/// What a request of some bytes may not become in three collections.
#[tokio::test]
async fn copies_of_what_was_stored_long_ago_are_bounded() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let long = format!("https://cdn.example.com/{}", "x".repeat(900_000));
    api.database.set("users", id(&user), "profile.avatar", long.clone()).await;
    let post = api.post("/posts").user(&user).json(&new_post()).await.is(201).json();
    assert_eq!(post["author"]["avatar"], "https://cdn.example.com/avatars/default.jpg");

    let product = api.active_product(&supplier).await;
    let attributes: Vec<_> = (0..10_000)
        .map(|number| doc! { "attribute_name": format!("a{number:05}"), "attribute_value": "v".repeat(80) })
        .collect();
    let red = |field: &str| format!("variants.red.{field}");
    api.database.set("products", id(&product), &red("attributes"), attributes).await;
    api.database.set("products", id(&product), &red("image_url"), long.clone()).await;
    let mut order = new_order(&product);
    order["items"][0]["variant_name"] = json!("red");
    let answer = api.post("/orders").user(&user).json(&order).await;
    let snapshot = &answer.is(201).json()["items"][0]["product_snapshot"];
    assert!(answer.text.len() < 64 * 1024, "{} bytes", answer.text.len());
    assert_eq!(snapshot["variant_attributes"]["a00000"], json!("v".repeat(80)));
    assert_eq!(snapshot["image_url"], "https://placeholder.com/default.jpg");

    // Both can still be read and changed.
    let path = format!("/users/{}", id(&user));
    let changed = api.patch(&path).json(&json!({ "bio": "new" })).await.is(200).json();
    assert_eq!(changed["profile"]["avatar"], json!(long));
    let path = format!("/products/{}", id(&product));
    let body = json!({ "name": "New" });
    let changed = api.patch(&path).supplier(&supplier).json(&body).await.is(200).json();
    assert_eq!(changed["variants"]["red"]["image_url"], json!(long));
    assert_eq!(api.get(&path).await.is(200).json(), changed);
}

/// Generous, so that nobody meets them who means well.
#[tokio::test]
async fn lists_and_texts_that_the_contract_leaves_open_have_limits() {
    let api = Api::start().await;
    let (user, supplier) = (api.user().await, api.supplier().await);
    let url = |length: usize| format!("https://{}", "x".repeat(length - 8));
    let avatar = |length: usize| json!({ "avatar": url(length) });
    let path = format!("/users/{}", id(&user));
    api.patch(&path).json(&avatar(2048)).await.is(200);
    api.patch(&path).json(&avatar(2049)).await.names("avatar");
    let refused = async |field: &str, change: &dyn Fn(&mut Value)| {
        let mut body = new_product();
        change(&mut body);
        api.post("/products").supplier(&supplier).json(&body).await.names(field);
    };
    let topic = json!({ "topic": "t", "description": "d" });
    refused("topic_descriptions", &|body| {
        body["topic_descriptions"] = json!(vec![topic.clone(); 101]);
    })
    .await;
    let attribute = json!({ "attribute_name": "n", "attribute_value": "v" });
    refused("variants.red.attributes", &|body| {
        body["variants"]["red"]["attributes"] = json!(vec![attribute.clone(); 51]);
    })
    .await;
    refused("variants.red.image_url", &|body| {
        body["variants"]["red"]["image_url"] = json!(url(2049));
    })
    .await;
}

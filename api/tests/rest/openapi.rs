//! The document tells the truth: about the routes, about what is taken and what is
//! answered. That no answer is missing in it, every other test proves (`documented`).

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::call::id;
use crate::documented::{DOCUMENT, TOKEN_DOCUMENT, assert_valid, resolve};
use crate::harness::Api;
use crate::surface;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Every operation of a document: its path, its method, its description.
fn operations_of(
    document: &'static Value,
) -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let described =
            move |method| item.get(method).map(|described| (path.as_str(), method, described));
        METHODS.into_iter().filter_map(described)
    })
}

fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    operations_of(&DOCUMENT)
}

fn both() -> [&'static Value; 2] {
    [&DOCUMENT, &TOKEN_DOCUMENT]
}

#[tokio::test]
async fn the_document_has_each_route_and_no_other() {
    let documented: BTreeSet<_> =
        operations().map(|(path, method, _)| format!("{} {path}", method.to_uppercase())).collect();
    let contract: BTreeSet<_> =
        surface::routes().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(documented, contract);

    let api = Api::start().await;
    assert_eq!(api.get("/openapi.json").await.is(200).json()["paths"], DOCUMENT["paths"]);
    for (path, method, _) in operations() {
        let method: Method = method.to_uppercase().parse().unwrap();
        let path = path.replace("{id}", &"0".repeat(24));
        let answer = api.call(method, path).await;
        assert_ne!(answer.status, 405, "{} is documented and not there", answer.what);
        if answer.status == 404 {
            assert!(!answer.text.contains("path not found"), "{} is not there", answer.what);
        }
    }
}

#[test]
fn operations_are_described_in_full() {
    let mut ids = BTreeSet::new();
    for (path, method, described) in operations() {
        assert!(
            described["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{method} {path}"
        );
        assert!(ids.insert(described["operationId"].as_str().unwrap()), "{method} {path}");
        let named = described["parameters"].as_array().into_iter().flatten();
        assert_eq!(path.contains('{'), named.into_iter().any(|each| each["in"] == "path"));
    }
}

/// A login is there only where tokens are believed, and so is what it is for.
#[test]
fn tokens_are_documented_where_they_are_believed() {
    let paths = |document: &'static Value| -> BTreeSet<_> {
        operations_of(document).map(|(path, method, _)| (path, method)).collect()
    };
    let more: Vec<_> = paths(&TOKEN_DOCUMENT).difference(&paths(&DOCUMENT)).copied().collect();
    assert_eq!(more, [("/auth/login", "post")]);
    for (path, method, described) in operations() {
        let with_tokens = &TOKEN_DOCUMENT["paths"][path][method];
        let callers = described["security"].to_string();
        assert!(!callers.contains("bearer"), "{method} {path}");
        if callers.contains("user") || callers.contains("supplier") {
            assert!(with_tokens["security"].to_string().contains("bearer"), "{method} {path}");
        }
    }
    let changed = &TOKEN_DOCUMENT["paths"]["/users/{id}"]["patch"];
    assert!(changed["security"].is_array() && changed["responses"]["403"].is_object());
}

/// Of the twelve, one is reserved: no answer has it yet.
#[test]
fn every_code_of_the_contract_is_documented() {
    let mut codes = BTreeSet::from(["INSUFFICIENT_STOCK"]);
    for document in both() {
        for response in document["components"]["responses"].as_object().unwrap().values() {
            let examples = response["content"]["application/json"]["examples"].as_object();
            codes.extend(examples.unwrap().keys().map(String::as_str));
        }
    }
    let schema = &DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["code"]["enum"];
    let known: BTreeSet<_> =
        schema.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(known.len(), 12);
    assert_eq!(codes, known);
}

/// What a reference, or a list of it, is about: the name of a schema.
fn name_of(schema: &Value) -> &str {
    let reference = schema["$ref"].as_str().or_else(|| schema["items"]["$ref"].as_str());
    reference.unwrap().rsplit('/').next().unwrap()
}

fn example(name: &str) -> &'static Value {
    let example = &TOKEN_DOCUMENT["components"]["schemas"][name]["examples"][0];
    assert!(!example.is_null(), "{name} has no example");
    example
}

#[test]
fn examples_keep_their_schemas() {
    for document in both() {
        for (path, method, described) in operations_of(document) {
            for (status, answer) in described["responses"].as_object().unwrap() {
                let content = &resolve(document, answer)["content"]["application/json"];
                let Some(schema) = content.get("schema") else { continue };
                let what = format!("{method} {path} {status}");
                if let Some(examples) = content["examples"].as_object() {
                    for each in examples.values() {
                        assert_valid(document, &what, schema, &each["value"], &what);
                    }
                    continue;
                }
                let name = name_of(schema);
                let schema = &document["components"]["schemas"][name];
                assert_valid(document, name, schema, example(name), &what);
            }
        }
    }
}

/// Each example of a request, sent as it is but for ids of things that are there.
#[tokio::test]
async fn examples_of_requests_are_accepted() {
    let api = Api::start().await;
    let mut sent = 0;
    for (path, method, described) in operations() {
        let Some(body) = described.get("requestBody") else { continue };
        let scene = Scene::set(&api, path).await;
        let name = name_of(&body["content"]["application/json"]["schema"]);
        let mut body = example(name).clone();
        if name == "CreateOrder" {
            body["items"][0]["product_id"] = scene.product["id"].clone();
        }
        let path = path.replace("{id}", scene.subject(path));
        let call = api.call(method.to_uppercase().parse().unwrap(), path).json(&body);
        let answer = call.user(&scene.user).supplier(&scene.supplier).await;
        assert!(answer.status.is_success(), "{}: {}", answer.what, answer.text);
        sent += 1;
    }
    assert!(sent >= 12, "only {sent} examples were sent");
    let api = Api::believing_tokens().await;
    api.post("/users").json(example("CreateUser")).await.is(201);
    api.post("/auth/login").json(example("Login")).await.is(200);
}

/// One thing of each kind, with the order far enough on for `path`.
struct Scene {
    user: Value,
    supplier: Value,
    product: Value,
    order: Value,
    post: Value,
}

impl Scene {
    async fn set(api: &Api, path: &str) -> Self {
        let (user, supplier) = (api.user().await, api.supplier().await);
        let product = api.active_product(&supplier).await;
        let order = api.order(&user, &product).await;
        let post = api.post_by(&user).await;
        let scene = Self { user, supplier, product, order, post };
        let steps: &[&str] = match path.rsplit('/').next() {
            Some("ship") => &["confirm", "process"],
            Some("deliver") => &["confirm", "process", "ship"],
            _ => &[],
        };
        for step in steps {
            let call = api.post(format!("/orders/{}/{step}", id(&scene.order)));
            call.user(&scene.user).json(example("ShipOrder")).await.is(200);
        }
        scene
    }

    fn subject(&self, path: &str) -> &str {
        match path.split('/').nth(1) {
            Some("users") => id(&self.user),
            Some("suppliers") => id(&self.supplier),
            Some("products") => id(&self.product),
            Some("orders") => id(&self.order),
            _ => id(&self.post),
        }
    }
}

/// The limits that are checked are those that are told (contract §1), on requests alone.
#[test]
fn limits_are_in_the_schemas_of_requests() {
    let schemas = &DOCUMENT["components"]["schemas"];
    for (pointer, limit) in [
        ("/CreateUser/properties/password/minLength", json!(8)),
        ("/CreateUser/properties/password/maxLength", json!(128)),
        ("/UpdateUser/properties/bio/maxLength", json!(500)),
        ("/CreateOrder/properties/items/maxItems", json!(20)),
        ("/OrderLine/properties/quantity/maximum", json!(99)),
        ("/AddressInput/properties/country/minLength", json!(2)),
        ("/PackageDimensionsInput/properties/width_cm/exclusiveMinimum", json!(0)),
        ("/CreatePost/properties/post_type/$ref", json!("#/components/schemas/PostType")),
    ] {
        assert_eq!(schemas.pointer(pointer), Some(&limit), "{pointer}");
    }
    assert_eq!(schemas.pointer("/Address/properties/country/minLength"), None);
    assert_eq!(schemas["CreateUser"]["required"], json!(["email", "password", "display_name"]));
}

/// `/docs` shows the document with nothing from anywhere else.
#[tokio::test]
async fn the_page_needs_no_network() {
    let api = Api::start().await;
    let page = api.get("/docs/").await;
    let policy = page.is(200).header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let mut files = 0;
    for attribute in ["src=\"", "href=\""] {
        for rest in page.text.split(attribute).skip(1) {
            let file = rest.split('"').next().unwrap();
            assert!(!file.contains(':') && !file.starts_with("//"), "{file} is elsewhere");
            let file = api.get(format!("/docs/{}", file.trim_start_matches("./"))).await;
            assert!(!file.is(200).text.is_empty());
            files += 1;
        }
    }
    assert!(files >= 5, "{files}: {}", page.text);
    let start = api.get("/docs/swagger-initializer.js").await;
    assert!(start.is(200).text.contains("\"/openapi.json\""), "{}", start.text);
    assert!(!start.text.contains("://"), "{}", start.text);
}

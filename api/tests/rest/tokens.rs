//! With API_AUTH=token a caller is who its token says, whatever its headers say.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::accounts::{Account, SECRET, email_of, token_mode, token_of};
use crate::call::id;
use crate::fixtures::{PASSWORD, new_order, new_post, new_product};
use crate::harness::{Api, Server};

/// One account of each kind, and something of each one's own.
struct World {
    api: Api,
    user: Account,
    supplier: Account,
    product: Value,
}

impl World {
    async fn prepare() -> Self {
        let api = Api::believing_tokens().await;
        let (user, supplier) = (api.user_account().await, api.supplier_account().await);
        let create = api.post("/products").token(&supplier.token).json(&new_product());
        let draft = create.await.is(201).json();
        let publish = api.post(format!("/products/{}/publish", id(&draft)));
        let product = publish.token(&supplier.token).await.is(200).json();
        Self { api, user, supplier, product }
    }
}

#[tokio::test]
async fn a_token_is_all_that_is_needed() {
    let World { api, user, supplier, product } = World::prepare().await;
    assert_eq!(product["supplier_id"], supplier.document["id"]);
    let order = api.post("/orders").token(&user.token).json(&new_order(&product));
    let order = order.await.is(201).json();
    assert_eq!(order["customer"]["user_id"], user.document["id"]);
    let list = api.get("/orders").token(&user.token).await.is(200).json();
    assert_eq!(list, json!([order]));
    // Both sides of an order take it on.
    let confirm = api.post(format!("/orders/{}/confirm", id(&order)));
    confirm.token(&supplier.token).await.is(200);
    let cancel = api.post(format!("/orders/{}/cancel", id(&order)));
    cancel.token(&user.token).await.is(200);
    // A header that says the same as the token does no harm.
    let post = api.post("/posts").token(&user.token).user(&user.document).json(&new_post());
    assert_eq!(post.await.is(201).json()["author"]["user_id"], user.document["id"]);
    let path = format!("/suppliers/{}", id(&supplier.document));
    let own = api.get(&path).token(&supplier.token).await.is(200).json();
    assert_eq!(own["banking_info"]["bank_name"], "Secret Bank");
}

#[tokio::test]
async fn headers_alone_are_not_believed() {
    let World { api, user, supplier, product } = World::prepare().await;
    let patch_product = format!("/products/{}", id(&product));
    for (method, path, body) in [
        (Method::POST, "/posts", new_post()),
        (Method::POST, "/orders", new_order(&product)),
        (Method::POST, "/products", new_product()),
        (Method::PATCH, patch_product.as_str(), json!({ "name": "Mine now" })),
        (Method::GET, "/orders", json!({})),
    ] {
        let call = api.call(method, path).user(&user.document).supplier(&supplier.document);
        api.refuses(call.json(&body), 401, "AUTHENTICATION_FAILED").await;
    }
    let refused = api.post("/posts").user(&user.document).json(&new_post()).await;
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    let path = format!("/suppliers/{}", id(&supplier.document));
    let seen = api.get(&path).supplier(&supplier.document).await.is(200).json();
    assert!(seen["banking_info"].is_null(), "{seen}");
}

#[tokio::test]
async fn who_claims_to_be_another_is_forbidden() {
    let World { api, user, supplier, product } = World::prepare().await;
    let (other, shop) = (api.user_account().await, api.supplier_account().await);
    let post = || api.post("/posts").json(&new_post());
    api.refuses(post().token(&user.token).user(&other.document), 403, "FORBIDDEN").await;
    let mixed = post().token(&user.token).supplier(&supplier.document);
    api.refuses(mixed, 403, "FORBIDDEN").await;
    api.refuses(post().token(&supplier.token), 403, "FORBIDDEN").await;
    let order = api.post("/orders").token(&supplier.token).json(&new_order(&product));
    api.refuses(order, 403, "FORBIDDEN").await;
    let product = api.patch(format!("/products/{}", id(&product))).json(&json!({ "name": "X" }));
    api.refuses(product.token(&shop.token), 403, "FORBIDDEN").await;
    let broken = post().token(&user.token).header("X-User-ID", "nonsense");
    api.refuses(broken, 422, "VALIDATION_ERROR").await;
}

/// With headers anybody may change any account; with tokens only the account itself.
#[tokio::test]
async fn an_account_is_changed_by_itself_alone() {
    let World { api, user, supplier, .. } = World::prepare().await;
    let stranger = api.user_account().await;
    for (account, path) in [(&user, "users"), (&supplier, "suppliers")] {
        let path = format!("/{path}/{}", id(&account.document));
        for method in [Method::PATCH, Method::DELETE] {
            let call = || api.call(method.clone(), &path).json(&json!({}));
            api.refuses(call(), 401, "AUTHENTICATION_FAILED").await;
            api.refuses(call().token(&stranger.token), 403, "FORBIDDEN").await;
        }
        api.patch(&path).token(&account.token).json(&json!({})).await.is(200);
        api.delete(&path).token(&account.token).await.is(204);
    }
}

/// A key belongs to whoever the token names.
#[tokio::test]
async fn the_idempotency_key_is_the_tokens() {
    let World { api, user, .. } = World::prepare().await;
    let other = api.user_account().await;
    let send = |account: &Account| {
        let post = api.post("/posts").token(&account.token).header("Idempotency-Key", "k");
        post.json(&new_post())
    };
    let first = send(&user).await.is(201).json();
    assert_eq!(send(&user).await.is(201).json(), first);
    assert_ne!(send(&other).await.is(201).json()["id"], first["id"]);
}

fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    // The API under test has installed what signs HS256; other algorithms are refused.
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_token_that_is_not_ours_is_refused() {
    let World { api, user, .. } = World::prepare().await;
    let now = get_current_timestamp();
    let claims = |exp: u64| {
        json!({ "iss": "social-commerce-api", "aud": "social-commerce", "kind": "user",
                "sub": user.document["id"], "iat": exp - 60, "exp": exp })
    };
    let post = |token: &str| api.post("/posts").token(token).json(&new_post());
    let sound = signed(Algorithm::HS256, SECRET, &claims(now + 60));
    post(&sound).await.is(201);

    let mut parts: Vec<&str> = user.token.split('.').collect();
    let others = api.user_account().await.token;
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
    let none_signed = format!("{none}{}", parts[2]);
    // {"alg":"HS512","typ":"JWT"}
    let hs512 = format!("eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.{}.{}", parts[1], parts[2]);
    parts[1] = others.split('.').nth(1).unwrap();
    let tampered = parts.join(".");
    let forged = signed(Algorithm::HS256, "another secret of thirty-two bytes", &claims(now + 60));
    let expired = signed(Algorithm::HS256, SECRET, &claims(now - 1));
    let unsigned = sound.rsplit_once('.').unwrap().0;
    for token in [
        none.as_str(),
        &none_signed,
        &hs512,
        &tampered,
        &forged,
        &expired,
        unsigned,
        "",
        "a.b.c",
        "nonsense",
    ] {
        api.refuses(post(token), 401, "INVALID_TOKEN").await;
    }
    let refused = post("nonsense").await;
    assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let basic = api.post("/posts").header("Authorization", "Basic YTpi").json(&new_post());
    api.refuses(basic, 401, "INVALID_TOKEN").await;
}

#[tokio::test]
async fn a_token_expires() {
    let api = Api::with(&token_mode(&["--token-ttl=1"])).await;
    let user = api.user().await;
    let login = api.log_in("user", email_of(&user), PASSWORD).await;
    assert_eq!(login.is(200).json()["expires_in"], 1);
    let token = token_of(&login);
    let orders = async || api.get("/orders").token(&token).await.status == 401;
    api.server.until("the token expires", orders).await;
    api.get("/orders").token(&token).await.refused(401, "INVALID_TOKEN");
    let again = token_of(&api.log_in("user", email_of(&user), PASSWORD).await);
    assert_ne!(again, token);
}

/// Instance by instance the secret is changed, and nobody has to log in again.
#[tokio::test]
async fn a_secret_can_be_changed() {
    const NEW: &str = "the next secret, of more than 32 bytes";
    let World { api, user, .. } = World::prepare().await;
    let start = async |settings: &[&str]| {
        let url = crate::database::mongodb_url();
        let server = Server::start_with(&url, &api.database.name, settings).await;
        server.until_ready().await;
        server
    };
    let changing =
        start(&["--auth=token", "--token-secret", NEW, "--token-secret-previous", SECRET]).await;
    let orders = |server: &Server, token: &str| server.call(Method::GET, "/orders").token(token);
    orders(&changing, &user.token).await.is(200);
    let body = json!({ "email": email_of(&user.document), "password": PASSWORD });
    let token = token_of(&changing.call(Method::POST, "/auth/login").json(&body).await);
    let changed = start(&["--auth=token", "--token-secret", NEW]).await;
    orders(&changed, &token).await.is(200);
    orders(&changed, &user.token).await.refused(401, "INVALID_TOKEN");
}

#[test]
fn it_does_not_start_without_a_good_secret() {
    use clap::Parser;
    let parse = |secret: &str| {
        api::Config::try_parse_from(["api", "--auth=token", "--token-secret", secret])
    };
    assert!(parse(&"x".repeat(32)).is_ok());
    let refused = parse(&"x".repeat(31)).unwrap_err().to_string();
    assert!(refused.contains("at least 32 bytes"), "{refused}");
}

#[tokio::test]
async fn tokens_without_a_secret_are_no_configuration() {
    use clap::Parser;
    let config = api::Config::parse_from(["api", "--auth=token"]);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let refused = api::run(config, listener, shared::process::Shutdown::new()).await.unwrap_err();
    assert!(refused.to_string().contains("API_TOKEN_SECRET"), "{refused}");
}

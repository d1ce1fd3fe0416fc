//! What a request may take: too slow, too many, and what the HTTP library refuses.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::call::Answer;
use crate::fixtures::new_user;
use crate::harness::Api;

/// Sends bytes as they are, and reads the answer as text.
struct Raw(TcpStream);

impl Raw {
    async fn send(api: &Api, text: &str) -> Self {
        let address = api.server.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Until the envelope is complete, or the server hangs up.
    async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"}}") {
            if self.0.read_buf(&mut text).await.unwrap() == 0 {
                break;
            }
        }
        String::from_utf8(text).unwrap()
    }
}

const HALF_A_USER: &str = "POST /users HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n\
                           Content-Length: 500\r\n\r\n{\"email\":";

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let api = Api::with(&["--body-timeout=1"]).await;
    let before = api.database.snapshot().await;
    let answer = Raw::send(&api, HALF_A_USER).await.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("{\"error\":{\"code\":\"VALIDATION_ERROR\""), "{answer}");
    assert_eq!(api.database.snapshot().await, before);
    api.post("/users").json(&new_user()).await.is(201);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_503() {
    let api = Api::with(&["--body-timeout=60", "--request-timeout=1"]).await;
    let answer = Raw::send(&api, HALF_A_USER).await.answer().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("{\"error\":{\"code\":\"INTERNAL_ERROR\""), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
}

fn shed(answer: &Answer) {
    answer.refused(503, "INTERNAL_ERROR");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn more_requests_than_the_limit_are_shed() {
    let api = Api::with(&["--max-in-flight=2"]).await;
    let held = [Raw::send(&api, HALF_A_USER).await, Raw::send(&api, HALF_A_USER).await];
    let busy = async || api.server.metric("http_requests_in_flight").await == 2.0;
    api.server.until("both places are taken", busy).await;
    shed(&api.get("/users").await);
    shed(&api.post("/users").json(&new_user()).await);
    // Who watches over it must get through.
    for path in ["/live", "/ready", "/metrics"] {
        api.get(path).await.is(200);
    }
    drop(held);
    let free = async || api.get("/users").await.status == 200;
    api.server.until("the places are free again", free).await;
}

/// The head is the library's own business: refused, if without the envelope.
#[tokio::test]
async fn a_head_without_end_is_refused() {
    let api = Api::start().await;
    let head = format!("GET /users HTTP/1.1\r\nHost: api\r\nX-Long: {}", "x".repeat(1024 * 1024));
    let answer = Raw::send(&api, &head).await.answer().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let head = format!("GET /users HTTP/1.1\r\nHost: api\r\n{many}\r\n");
    let answer = Raw::send(&api, &head).await.answer().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    api.get("/users").await.is(200);
}

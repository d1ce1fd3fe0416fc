//! The API as its clients see it: one request, tried again while the server is away.

use std::fmt::Display;
use std::time::Duration;

use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use shared::process::{Dependency, Failure, Health, Interrupted, RetryPolicy, Shutdown, retry};

/// One attempt may take this long; the API itself answers or gives up sooner.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is honoured in one go.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// With its leading slash.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// The refusal that a *repeated* attempt meets where an earlier one, whose
    /// answer was lost, had succeeded after all: then it counts as success.
    pub settled_by: Option<StatusCode>,
}

#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error("the API cannot be reached: {0}")]
    Unreachable(reqwest::Error),
    #[error("the API is busy: {status}")]
    Busy { status: StatusCode },
    #[error("{method} {path} answered {status}: {body}")]
    Refused { method: Method, path: String, status: StatusCode, body: String },
    #[error("{method} {path} answered something that is not the contract's: {reason}")]
    Unintelligible { method: Method, path: String, reason: String },
    #[error("the API did not answer for {} s", .0.as_secs())]
    OutOfPatience(Duration),
}

impl RestError {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable(_) | Self::Busy { .. } => Failure::Transient,
            _ => Failure::Permanent,
        }
    }
}

pub struct RestClient {
    http: reqwest::Client,
    base: String,
    /// How long one request may wait for a server that is away.
    patience: Duration,
    api: Dependency,
}

impl RestClient {
    /// # Errors
    /// Where the HTTP client cannot be built.
    pub fn new(base: &str, patience: Duration) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(RestError::Unreachable)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            patience,
            api: Health::default().dependency("api"),
        })
    }

    /// Sends `request` until it is answered. The answer is the body, or null
    /// where there is none.
    ///
    /// # Errors
    /// - [`RestError::Refused`]: a 4xx or 500, which no repetition would change.
    /// - [`RestError::OutOfPatience`]: away or busy for too long.
    pub async fn send(&self, request: &Request) -> Result<Value, RestError> {
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            self.attempt(request, attempts > 1)
        };
        // A signal ends the whole command, so nothing has to end this loop alone.
        let never = Shutdown::default();
        let policy = RetryPolicy::default();
        let sent = retry(policy, &never, &self.api, RestError::failure, attempt);
        match tokio::time::timeout(self.patience, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Interrupted::Permanent(error))) => Err(error),
            Ok(Err(Interrupted::Shutdown)) | Err(_) => Err(RestError::OutOfPatience(self.patience)),
        }
    }

    /// Sends `request` once and answers whatever the server does.
    ///
    /// # Errors
    /// [`RestError::Unreachable`].
    pub async fn answer(&self, request: &Request) -> Result<(StatusCode, String), RestError> {
        let response = self.dispatch(request).await?;
        let status = response.status();
        let body = response.text().await.map_err(RestError::Unreachable)?;
        Ok((status, body))
    }

    async fn dispatch(&self, request: &Request) -> Result<reqwest::Response, RestError> {
        let url = format!("{}{}", self.base, request.path);
        let mut builder = self.http.request(request.method.clone(), url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        builder.send().await.map_err(RestError::Unreachable)
    }

    async fn attempt(&self, request: &Request, repeated: bool) -> Result<Value, RestError> {
        let response = self.dispatch(request).await?;
        let status = response.status();
        if is_busy(status) {
            // The server said how long. That wait belongs to this attempt; the
            // policy's own, which spreads the crowd, comes on top.
            tokio::time::sleep(retry_after(&response)).await;
            return Err(RestError::Busy { status });
        }
        let body = response.text().await.map_err(RestError::Unreachable)?;
        if repeated && request.settled_by == Some(status) {
            return Ok(Value::Null);
        }
        if !status.is_success() {
            return Err(RestError::Refused {
                method: request.method.clone(),
                path: request.path.clone(),
                status,
                body,
            });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).map_err(|error| request.unintelligible(error))
    }
}

impl Request {
    /// The error of an answer that the contract does not know.
    pub fn unintelligible(&self, reason: impl Display) -> RestError {
        RestError::Unintelligible {
            method: self.method.clone(),
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(response: &reqwest::Response) -> Duration {
    let text = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = text.and_then(|text| text.parse().ok()).unwrap_or(0);
    Duration::from_secs(seconds).min(MAX_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers its n-th connection with the n-th text, then hangs
    /// up; an empty text is an answer lost on the way.
    async fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let _ = socket.read(&mut request).await.unwrap();
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    fn delete() -> Request {
        Request {
            method: Method::DELETE,
            path: "/posts/1".to_owned(),
            headers: Vec::new(),
            body: None,
            settled_by: Some(StatusCode::NOT_FOUND),
        }
    }

    async fn send(answers: &'static [&'static str]) -> Result<Value, RestError> {
        let base = server(answers).await;
        let client = RestClient::new(&base, Duration::from_secs(10)).unwrap();
        client.send(&delete()).await
    }

    const BUSY: &str =
        "HTTP/1.1 503 x\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const DONE: &str = "HTTP/1.1 204 x\r\nconnection: close\r\n\r\n";
    const GONE: &str = "HTTP/1.1 404 x\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngone";

    #[tokio::test]
    async fn waits_as_long_as_a_busy_server_asks() {
        let started = std::time::Instant::now();
        assert_eq!(send(&[BUSY, DONE]).await.unwrap(), Value::Null);
        assert!(started.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_refusal_is_final_unless_it_confirms_a_lost_answer() {
        let refused = send(&[GONE]).await.unwrap_err().to_string();
        assert_eq!(refused, "DELETE /posts/1 answered 404 Not Found: gone");
        assert_eq!(send(&["", GONE]).await.unwrap(), Value::Null);
    }

    #[tokio::test]
    async fn patience_ends() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let client =
            RestClient::new(&format!("http://{free}"), Duration::from_millis(200)).unwrap();
        let error = client.send(&delete()).await.unwrap_err();
        assert!(matches!(error, RestError::OutOfPatience(_)), "{error}");
    }
}

//! A connection to one broker: a request, then its answer.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes, VersionRange,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::brokers::Address;
use super::transport::Transport;
use super::{sasl, tls};
use crate::servers::PATIENCE;

/// To look through all transactions takes a broker longer than to say hello.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_LIMIT: usize = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the cluster has no broker of that number now")]
    Unknown,
    #[error("no connection: {0}")]
    NoConnection(#[source] io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("SASL: {0}")]
    Sasl(String),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
    #[error("it does not know request {key} in version {version}: Kafka 3.0 or newer is needed")]
    TooOld { key: i16, version: i16 },
    #[error("{0}")]
    Refused(ResponseError),
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Connection {
    stream: Box<dyn Stream>,
    client_id: StrBytes,
    correlation_id: i32,
    /// What the broker takes, by the request's key.
    versions: BTreeMap<i16, VersionRange>,
}

impl Connection {
    /// Connects, encrypted and authenticated as `transport` says.
    ///
    /// # Errors
    /// [`WireError`], within some seconds.
    pub async fn open(
        address: &Address,
        transport: &Transport,
        client_id: &str,
    ) -> Result<Self, WireError> {
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let connected = timeout(PATIENCE, connecting).await;
        let stream = connected
            .map_err(|_| WireError::NoAnswer(PATIENCE))?
            .map_err(WireError::NoConnection)?;
        let stream: Box<dyn Stream> = match &transport.tls {
            None => Box::new(stream),
            Some(config) => Box::new(tls::wrap(stream, config, &address.host).await?),
        };
        let client_id = StrBytes::from_string(client_id.to_owned());
        let mut connection =
            Self { stream, client_id, correlation_id: 0, versions: BTreeMap::new() };
        if let Some(account) = &transport.sasl {
            sasl::authenticate(&mut connection, account).await?;
        }
        connection.learn_versions().await?;
        Ok(connection)
    }

    async fn learn_versions(&mut self) -> Result<(), WireError> {
        let told = self.exchange(&ApiVersionsRequest::default(), 0).await?;
        refusal(told.error_code)?;
        let ranges = told
            .api_keys
            .iter()
            .map(|it| (it.api_key, VersionRange { min: it.min_version, max: it.max_version }));
        self.versions = ranges.collect();
        Ok(())
    }

    /// # Errors
    /// [`WireError`]; then the connection is of no use any more.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, WireError> {
        let knows = |it: &VersionRange| it.min <= version && version <= it.max;
        if !self.versions.get(&R::KEY).is_some_and(knows) {
            return Err(WireError::TooOld { key: R::KEY, version });
        }
        self.exchange(request, version).await
    }

    /// As [`Self::call`], before it is known what the broker takes.
    pub async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, WireError> {
        let unreadable = |error: &dyn std::fmt::Display| WireError::Unreadable(error.to_string());
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(self.client_id.clone()));
        let mut message = BytesMut::new();
        header
            .encode(&mut message, R::header_version(version))
            .and_then(|()| request.encode(&mut message, version))
            .map_err(|error| unreadable(&error))?;
        let mut answer = timeout(ANSWER_LIMIT, self.send_and_receive(&message))
            .await
            .map_err(|_| WireError::NoAnswer(ANSWER_LIMIT))??;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| unreadable(&error))?;
        if header.correlation_id != self.correlation_id {
            return Err(WireError::Unreadable("it answers another request".to_owned()));
        }
        R::Response::decode(&mut answer, version).map_err(|error| unreadable(&error))
    }

    async fn send_and_receive(&mut self, message: &[u8]) -> Result<Bytes, WireError> {
        let length = u32::try_from(message.len())
            .map_err(|_| WireError::Unreadable("the request is too large".to_owned()))?;
        let mut frame = BytesMut::with_capacity(4 + message.len());
        frame.put_u32(length);
        frame.put_slice(message);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let length = (&length[..]).get_u32() as usize;
        if length > ANSWER_BYTES_LIMIT {
            return Err(WireError::Unreadable(format!("{length} bytes are too many")));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.into())
    }
}

/// What an error code in an answer says, if it is one.
///
/// # Errors
/// [`WireError::Refused`].
pub fn refusal(code: i16) -> Result<(), WireError> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(WireError::Refused(error)))
}

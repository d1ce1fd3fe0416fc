//! Requests as bytes: one connection, one request at a time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request};

pub struct Wire(TcpStream);

impl Wire {
    pub fn connect(kafka: &str) -> Self {
        let stream = TcpStream::connect(kafka).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let header =
            RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        let mut message = BytesMut::new();
        header.encode(&mut message, R::header_version(version)).unwrap();
        request.encode(&mut message, version).unwrap();
        let mut frame = BytesMut::new();
        frame.put_u32(message.len().try_into().unwrap());
        frame.put_slice(&message);
        self.0.write_all(&frame).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        R::Response::decode(&mut answer, version).unwrap()
    }
}

pub fn accepted(code: i16) -> Result<(), String> {
    ResponseError::try_from_code(code).map_or(Ok(()), |error| Err(error.to_string()))
}

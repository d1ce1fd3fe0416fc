//! Encryption, with the certificates that librdkafka's settings name.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::connection::WireError;
use super::transport::{NotSupported, Settings};
use crate::servers::PATIENCE;

/// Trusts `ssl.ca.*`, else the usual public authorities, and shows `ssl.certificate.*`.
/// The broker's certificate is always checked, and its name.
pub fn config(settings: &mut Settings) -> Result<Arc<ClientConfig>, NotSupported> {
    for (name, usual) in [
        ("enable.ssl.certificate.verification", "true"),
        ("ssl.endpoint.identification.algorithm", "https"),
    ] {
        match settings.take(name) {
            Some(value) if value != usual => {
                return Err(NotSupported(format!("{name}={value} is not known here")));
            }
            _ => {}
        }
    }
    let refused = |error: &dyn std::fmt::Display| NotSupported(format!("TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .with_root_certificates(authorities(settings)?);
    let config = match (text(settings, "certificate")?, text(settings, "key")?) {
        (None, None) => builder.with_no_client_auth(),
        (Some((name, chain)), Some((key_name, key))) => {
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(unreadable(&key_name))?;
            builder
                .with_client_auth_cert(certificates(&name, &chain)?, key)
                .map_err(|error| refused(&error))?
        }
        (_, _) => {
            let both = "ssl.certificate.* and ssl.key.* are of use only together".to_owned();
            return Err(NotSupported(both));
        }
    };
    Ok(Arc::new(config))
}

fn authorities(settings: &mut Settings) -> Result<RootCertStore, NotSupported> {
    let mut store = RootCertStore::empty();
    match text(settings, "ca")? {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some((name, chain)) => {
            for certificate in certificates(&name, &chain)? {
                store.add(certificate).map_err(|error| NotSupported(format!("{name}: {error}")))?;
            }
        }
    }
    Ok(store)
}

/// `ssl.WHAT.pem`, or the file `ssl.WHAT.location`; with its name.
fn text(settings: &mut Settings, what: &str) -> Result<Option<(String, Vec<u8>)>, NotSupported> {
    let name = format!("ssl.{what}.pem");
    if let Some(text) = settings.take(&name) {
        return Ok(Some((name, text.into_bytes())));
    }
    let name = format!("ssl.{what}.location");
    let Some(path) = settings.take(&name) else {
        return Ok(None);
    };
    let name = format!("{name}={path}");
    match std::fs::read(&path) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) => Err(NotSupported(format!("{name}: {error}"))),
    }
}

fn certificates(name: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, NotSupported> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all.map_err(unreadable(name))? {
        none if none.is_empty() => Err(NotSupported(format!("{name} holds no certificate"))),
        all => Ok(all),
    }
}

fn unreadable(name: &str) -> impl Fn(pem::Error) -> NotSupported {
    move |error| NotSupported(format!("{name}: {error}"))
}

/// # Errors
/// If the broker's certificate is not trusted, or not of `host`; or after [`PATIENCE`].
pub async fn wrap(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
    host: &str,
) -> Result<TlsStream<TcpStream>, WireError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| WireError::Tls(error.to_string()))?;
    let shaking_hands = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let shaken = timeout(PATIENCE, shaking_hands).await;
    shaken
        .map_err(|_| WireError::NoAnswer(PATIENCE))?
        .map_err(|error| WireError::Tls(error.to_string()))
}

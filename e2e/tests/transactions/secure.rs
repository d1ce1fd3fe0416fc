//! A listener of Kafka that wants TLS and SCRAM.

use std::path::PathBuf;

use e2e::{Listener, free};
use hmac::Hmac;
use kafka_protocol::messages::AlterUserScramCredentialsRequest;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::protocol::StrBytes;
use pbkdf2::pbkdf2;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sha2::Sha512;

use crate::wire::{Wire, accepted};

const USER: &str = "operator";
const PASSWORD: &str = "not-in-any-log";
const ITERATIONS: u32 = 4_096;
/// The protocol's number for SCRAM-SHA-512.
const SCRAM_SHA_512: i8 = 2;

pub struct Secure {
    pub listener: Listener,
    authority: PathBuf,
    server: PathBuf,
}

impl Secure {
    /// A certificate for 127.0.0.1, and the authority that has signed it.
    pub fn make() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("transactions");
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "Authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = authority.self_signed(&key).unwrap();
        let issuer = Issuer::new(authority, key);
        let server_key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        server.distinguished_name.push(DnType::CommonName, "Server");
        let server = server.signed_by(&server_key, &issuer).unwrap();
        let store = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let address = free();
        Self {
            listener: Listener { name: "SAFE", address, advertised: address, protocol: "SASL_SSL" },
            authority: store("authority.pem", signed.pem()),
            server: store("server.pem", server_key.serialize_pem() + &server.pem()),
        }
    }

    pub fn properties(&self) -> String {
        format!(
            "listener.name.safe.ssl.keystore.type=PEM\n\
             listener.name.safe.ssl.keystore.location={}\n\
             listener.name.safe.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.safe.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
            self.server.display()
        )
    }

    /// Makes the account known to the cluster.
    pub fn sign_up(kafka: &str) {
        let salt = b"0123456789abcdef";
        let mut salted = vec![0; 64];
        pbkdf2::<Hmac<Sha512>>(PASSWORD.as_bytes(), salt, ITERATIONS, &mut salted).unwrap();
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(StrBytes::from_static_str(USER))
            .with_mechanism(SCRAM_SHA_512)
            .with_iterations(ITERATIONS.try_into().unwrap())
            .with_salt(salt.to_vec().into())
            .with_salted_password(salted.into());
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]);
        let answer = Wire::connect(kafka).call(&request, 0);
        accepted(answer.results[0].error_code).unwrap();
    }

    /// What a client is told of this way in.
    pub fn settings(&self) -> [(&'static str, String); 6] {
        [
            ("KAFKA_BOOTSTRAP_SERVERS", self.listener.address.to_string()),
            ("KAFKA_PRODUCER_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("KAFKA_PRODUCER_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
            ("KAFKA_PRODUCER_SASL_USERNAME", USER.to_owned()),
            ("KAFKA_PRODUCER_SASL_PASSWORD", PASSWORD.to_owned()),
            ("KAFKA_PRODUCER_SSL_CA_LOCATION", self.authority.display().to_string()),
        ]
    }
}

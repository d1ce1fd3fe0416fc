//! Encrypted and authenticated: to Kafka by SASL over TLS, to MongoDB by TLS, with
//! servers that accept nothing less.

use std::path::{Path, PathBuf};

use bson::doc;
use mongodb::Client;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use crate::fixture::{Pipeline, assert_exactly_once, history, until};
use crate::process::{Process, free_port};
use crate::servers::{Kind, Servers};

/// An authority, a server's certificate for 127.0.0.1 signed by it with its key, and
/// another authority that signed nothing.
struct Certificates {
    authority: PathBuf,
    server: PathBuf,
    stranger: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let (authority, key) = authority("Authority");
        let signed = authority.self_signed(&key).unwrap();
        let issuer = Issuer::new(authority, key);
        let server_key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        server.distinguished_name = name("Server");
        let server = server.signed_by(&server_key, &issuer).unwrap();
        let (stranger, key) = self::authority("Stranger");
        let stranger = stranger.self_signed(&key).unwrap();
        let store = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            authority: store("authority.pem", signed.pem()),
            server: store("server.pem", server_key.serialize_pem() + &server.pem()),
            stranger: store("stranger.pem", stranger.pem()),
        }
    }
}

fn authority(called: &str) -> (CertificateParams, KeyPair) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name = name(called);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (authority, KeyPair::generate().unwrap())
}

/// Each has its own: a certificate whose issuer is called like itself passes for self-signed.
fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn kafka_properties(certificates: &Certificates, secure: u16) -> String {
    let server = certificates.server.display();
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{{port}},SAFE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{{controller}}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SAFE://127.0.0.1:{secure}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SAFE:SASL_SSL\n\
         listener.name.safe.ssl.keystore.type=PEM\n\
         listener.name.safe.ssl.keystore.location={server}\n\
         listener.name.safe.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.safe.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_relay=\"{PASSWORD}\";\n"
    )
}

const PASSWORD: &str = "not-in-any-log";

fn mongodb_config(certificates: &Certificates) -> String {
    let (server, authority) = (certificates.server.display(), certificates.authority.display());
    format!(
        "net:\n  tls:\n    mode: preferTLS\n    certificateKeyFile: {server}\n    \
         CAFile: {authority}\n    allowConnectionsWithoutCertificates: true\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn events_travel_encrypted_from_mongodb_to_kafka() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("certificates");
    let certificates = Certificates::make(&folder);
    let secure = free_port();
    let kind = Kind {
        kafka_properties: kafka_properties(&certificates, secure),
        mongodb_config: mongodb_config(&certificates),
        ..Kind::default()
    };
    let starting = tokio::task::spawn_blocking(move || Servers::of_kind("relay-tls", &kind));
    let servers = starting.await.unwrap();
    let url = |authority: &Path| {
        format!("{}&tls=true&tlsCAFile={}", servers.mongodb_url(), authority.display())
    };
    let pipeline = Pipeline::on("tls", url(&certificates.authority), servers.kafka()).await;
    let require = doc! { "setParameter": 1, "tlsMode": "requireTLS" };
    pipeline.database.client().database("admin").run_command(require).await.unwrap();
    let plain = format!("{}&serverSelectionTimeoutMS=1000", servers.mongodb_url());
    let plain = Client::with_uri_str(plain).await.unwrap();
    plain.database("admin").run_command(doc! { "ping": 1 }).await.expect_err("only TLS gets in");

    let stranger = certificates.stranger.display().to_string();
    let mut settings = pipeline.settings();
    for (name, value) in [
        ("KAFKA_BOOTSTRAP_SERVERS", format!("127.0.0.1:{secure}")),
        ("KAFKA_PRODUCER_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
        ("KAFKA_PRODUCER_SASL_MECHANISM", "PLAIN".to_owned()),
        ("KAFKA_PRODUCER_SASL_USERNAME", "relay".to_owned()),
        ("KAFKA_PRODUCER_SASL_PASSWORD", PASSWORD.to_owned()),
        ("KAFKA_PRODUCER_SSL_CA_LOCATION", certificates.authority.display().to_string()),
    ] {
        settings.insert(name.to_owned(), value);
    }
    // Who is not who he says he is gets nothing, and is waited for like one who is away.
    for (name, value, dependency) in [
        ("KAFKA_PRODUCER_SASL_PASSWORD", "wrong".to_owned(), "kafka"),
        ("KAFKA_PRODUCER_SSL_CA_LOCATION", stranger.clone(), "kafka"),
        ("MONGODB_URL", url(&certificates.stranger), "mongodb"),
    ] {
        let mut wrong = settings.clone();
        wrong.insert(name.to_owned(), value);
        let refused = Process::launch(&wrong);
        until(&format!("another {name} is refused"), || async {
            let log = refused.log();
            let said = format!("\"dependency\":\"{dependency}\"");
            log.lines().any(|line| line.contains("unavailable") && line.contains(&said))
        })
        .await;
        assert_eq!(refused.get("/ready").await.unwrap().0, 503, "{name}");
        refused.kill();
    }

    let mut written = history(20, 3);
    pipeline.write(&written).await;
    let relay = Process::launch(&settings);
    pipeline.await_events(written.len()).await;
    let later = history(20, 2);
    pipeline.write(&later).await;
    written.extend(later);
    assert_exactly_once(&pipeline.await_events(written.len()).await, &written);
    assert!(!relay.log().contains(PASSWORD), "the password is in the log");
    relay.kill();
}

//! What every Kafka client of the relay has in common.

use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::process::{Dependency, DependencyState, RetryPolicy, Shutdown, Stranded};
use tokio::task::JoinError;

use crate::Relay;
use crate::config::Config;

/// The settings that lead to the cluster.
pub fn client_config(relay: &Config) -> ClientConfig {
    let settings = &relay.kafka;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.kafka_bootstrap_servers)
        .set("client.id", format!("{}-relay", settings.kafka_client_id))
        // A broker that restarts is found again within a second, not ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        // A transaction is a handful of small requests, several at a time: none may wait in
        // the kernel until the one before it is acknowledged.
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true");
    for (property, value) in settings.kafka_transport.iter() {
        config.set(property, value);
    }
    config
}

/// A reader that sees only what is committed, joins no group and commits nothing.
pub fn reader_config(relay: &Config) -> ClientConfig {
    let mut config = client_config(relay);
    config
        // `assign` wants a group's name although no group is ever joined.
        .set("group.id", "outbox-relay-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        // Otherwise a broker keeps the news that nothing more is there for half a second.
        .set("fetch.wait.max.ms", "10")
        .set("queued.max.messages.kbytes", "8192")
        .set("fetch.max.bytes", "4194304");
    config
}

/// Keeps librdkafka's own lines out of the log (it writes one per attempt) and turns
/// what they say into the state of the dependency (one line per change).
#[derive(Debug, Clone)]
pub struct Watch(pub Dependency);

impl Watch {
    pub fn heed(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.down(reason);
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heed(&error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Watch {}

/// Kafka is asked again at least this often, so that events flow within seconds once it is
/// back.
pub const KAFKA_RETRY: RetryPolicy =
    RetryPolicy { initial: Duration::from_millis(50), max: Duration::from_secs(1) };

/// Returns when the session's clients have had no broker for some seconds although one
/// accepts connections: then only new clients find it.
pub async fn stranded(relay: &Relay, watch: &mut Stranded) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if watch.is_stranded(!is_down(relay)).await {
            return;
        }
    }
}

/// Whether the clients say that Kafka is away, and nothing has been acknowledged since.
pub fn is_down(relay: &Relay) -> bool {
    let state = relay.health.dependencies().remove(relay.kafka.name());
    matches!(state, Some(DependencyState::Down { .. }))
}

/// Does what blocks off the async threads. It is told to stop when the process is to stop, or
/// when its caller is dropped: a session that ends leaves nothing behind that waits.
///
/// # Errors
/// Where `work` panics.
pub async fn blocking<T: Send + 'static>(
    shutdown: &Shutdown,
    work: impl FnOnce(&Shutdown) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let stop = shutdown.child_token();
    let _with_its_caller = stop.clone().drop_guard();
    tokio::task::spawn_blocking(move || work(&stop)).await
}

pub fn quiet_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
}

/// A client that may be dropped anywhere. librdkafka takes its time to let go of a cluster
/// that is away, and a session ends on an async thread: so another thread holds on to the
/// client until it is the last to do so, and lets go of it then. (Fields are dropped in
/// this order.)
pub struct Client<T> {
    client: Arc<T>,
    _in_use: mpsc::Sender<()>,
}

impl<T: Send + Sync + 'static> Client<T> {
    pub fn new(client: T) -> Self {
        let client = Arc::new(client);
        let (in_use, released) = mpsc::channel::<()>();
        let last = client.clone();
        std::thread::spawn(move || {
            // Nothing is ever sent: this returns once the sender is gone.
            released.recv().ok();
            drop(last);
        });
        Self { client, _in_use: in_use }
    }

    /// For a call that blocks. It is to be dropped on the thread that blocked.
    pub fn shared(&self) -> Arc<T> {
        self.client.clone()
    }
}

impl<T> Deref for Client<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

//! When a Kafka client has to be replaced, because it will not find a broker again.
//!
//! librdkafka 2.12 to 2.15 can drop its last broker after a metadata answer without brokers
//! and never try again (confluentinc/librdkafka#5301). No setting cures that: only a new
//! client connects.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long a client may have no broker while one of them accepts connections. A client that
/// can connect does so within its `reconnect.backoff.max.ms`, of one second.
const PATIENCE: Duration = Duration::from_secs(3);

/// A new client that finds no broker either (it is refused, say) is not the cure.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Watches one client: call [`Self::is_stranded`] about once a second with what the client
/// says, and replace the client when it returns true.
#[derive(Debug)]
pub struct Stranded {
    servers: Vec<String>,
    patience: Duration,
    /// Since when a broker accepts connections and the client has none.
    since: Option<Instant>,
}

impl Stranded {
    /// `bootstrap_servers`: comma-separated host:port list, as librdkafka takes it.
    pub fn new(bootstrap_servers: &str) -> Self {
        let servers = bootstrap_servers.split(',').map(|server| address(server.trim()));
        Self { servers: servers.collect(), patience: PATIENCE, since: None }
    }

    /// Returns whether the client is to be replaced now. Connects to the bootstrap servers,
    /// but only while `has_broker` is false. May take half a second for each of them.
    pub async fn is_stranded(&mut self, has_broker: bool) -> bool {
        let could_have_one = !has_broker && self.any_accepts().await;
        self.judge(could_have_one, has_broker, Instant::now())
    }

    fn judge(&mut self, could_have_one: bool, has_broker: bool, now: Instant) -> bool {
        if has_broker {
            self.patience = PATIENCE;
        }
        if !could_have_one {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_stranded = now - since >= self.patience;
        if is_stranded {
            self.since = None;
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
        }
        is_stranded
    }

    async fn any_accepts(&self) -> bool {
        for server in &self.servers {
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(server)).await;
            if matches!(connected, Ok(Ok(_))) {
                return true;
            }
        }
        false
    }
}

/// Without the protocol that librdkafka allows in front, and with a port behind.
fn address(server: &str) -> String {
    let host = server.rsplit_once("://").map_or(server, |(_, host)| host);
    let has_port = host.parse::<SocketAddr>().is_ok()
        || host.rsplit_once(':').is_some_and(|(host, port)| {
            (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
        });
    if has_port { host.to_owned() } else { format!("{host}:9092") }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_completed() {
        for (server, expected) in [
            ("kafka:9093", "kafka:9093"),
            ("kafka", "kafka:9092"),
            ("SASL_SSL://kafka:9094", "kafka:9094"),
            ("[::1]:9092", "[::1]:9092"),
            ("[::1]", "[::1]:9092"),
        ] {
            assert_eq!(address(server), expected);
        }
    }

    #[test]
    fn a_client_is_replaced_if_it_has_no_broker_although_it_could_have_one() {
        let mut watch = Stranded::new("kafka");
        let begun = Instant::now();
        let mut at = |second, could_have_one, has_broker| {
            watch.judge(could_have_one, has_broker, begun + Duration::from_secs(second))
        };
        assert!(!at(0, false, false) && !at(100, false, false), "no broker is there");
        assert!(!at(101, true, false) && !at(103, true, false), "it may be about to connect");
        assert!(at(104, true, false));
        assert!(!at(105, true, false) && !at(110, true, false), "its successor may be, too");
        assert!(at(111, true, false), "later, since replacing it was no cure");
        assert!(!at(112, false, true), "it has one");
        assert!(!at(113, true, false) && at(116, true, false));
    }

    #[tokio::test]
    async fn a_server_that_accepts_connections_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(Stranded::new(&format!("127.0.0.1:1, {address}")).any_accepts().await);
        assert!(!Stranded::new("127.0.0.1:1").any_accepts().await);
    }
}

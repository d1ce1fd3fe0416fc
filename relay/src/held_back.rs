//! Partitions that an open transaction holds back: a read_committed reader sees nothing
//! behind its first record, also of what others wrote. A transaction that takes long, or that no
//! broker will ever end, is found here and named, while this relay leads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc, Describer};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};
use shared::process::Health;
use tokio::time::sleep;

use crate::Relay;
use crate::ends::EndReader;
use crate::kafka::{Client, Watch, blocking, reader_config};
use crate::landing::Place;
use crate::read_to_end::NotRead;

mod stands_still;

use stands_still::Tracker;

/// Between two looks, and while a partition is held back.
const EVERY: Duration = Duration::from_secs(1);
const CLOSELY: Duration = Duration::from_millis(500);
/// The topics may be made anew, or get more partitions.
const LOOKS: u32 = 60;

/// A transaction of our own that takes longer is worth a word: a broker may be frozen.
const PATIENCE: Duration = Duration::from_secs(5);
const WAITS: &str =
    "a transaction of this relay has been waiting for its brokers for more than 5 s";

/// No server, but waited for like one, once one is found. It is a state of `/ready`.
pub const OPEN_TRANSACTION: &str = "open_transaction";

/// A partition, and the first record of the transaction that holds it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub place: Place,
    pub offset: i64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { topic, partition } = &self.place;
        write!(f, "partition {partition} of {topic} from offset {} on", self.offset)
    }
}

/// What was found. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HeldBack {
    state: Arc<Mutex<State>>,
    description: Arc<Desc>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while it does not lead, or has not looked yet.
    found: Option<Vec<Held>>,
    /// When the oldest transaction of this relay that is not decided was begun.
    own: Option<Instant>,
}

impl HeldBack {
    /// # Errors
    /// Never in practice: the name is in order.
    pub fn new() -> Result<Self, prometheus::Error> {
        let description = Arc::new(options().describe()?);
        Ok(Self { state: Arc::default(), description })
    }

    /// The oldest transaction of our own was begun then; `None` when none is under way.
    pub fn own(&self, begun: Option<Instant>) {
        self.lock().own = begun;
    }

    /// Whether a transaction of our own is under way.
    pub fn has_own(&self) -> bool {
        self.lock().own.is_some()
    }

    /// For people; `None` when nothing is held back.
    pub fn reason(&self) -> Option<String> {
        let (found, own) = {
            let state = self.lock();
            (state.found.clone()?, state.own)
        };
        let Some(first) = found.first() else {
            let waits = own.filter(|begun| begun.elapsed() > PATIENCE);
            return waits.map(|_| WAITS.to_owned());
        };
        let more = match found.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!(
            "an open transaction holds back {first}{more}: readers get nothing behind it; `outboxctl transactions list` names its producer"
        ))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for such partitions until the process stops.
pub async fn run(relay: &Relay) {
    loop {
        if relay.metrics.leader.get() == 0 {
            report(relay, None);
        } else if let Err(error) = in_office(relay).await {
            // What was found holds until the next look. That Kafka is away is said by those
            // who publish; these clients are of no use any more.
            tracing::debug!(%error, "not looked for open transactions");
            say(relay);
        }
        sleep(CLOSELY).await;
    }
}

async fn in_office(relay: &Relay) -> Result<(), NotRead> {
    let (settings, topics) = (reader_config(&relay.config), relay.topics.clone());
    // A client of its own has a health of its own: see `run`.
    let watch = Watch(Health::default().dependency("kafka"));
    let connecting = blocking(&relay.shutdown, move |_| {
        let topics: Vec<String> = topics.events().map(str::to_owned).collect();
        EndReader::new(&settings, &watch, &topics)
    });
    let reader = Client::new(connecting.await??);
    let mut tracker = Tracker::default();
    for _ in 0..LOOKS {
        if relay.metrics.leader.get() == 0 {
            break;
        }
        let asked = reader.shared();
        let looking = blocking(&relay.shutdown, move |_| {
            // In this order: a transaction that ends in between is not behind.
            let written = asked.written()?;
            Ok::<_, NotRead>((written, asked.decided()?))
        });
        let (written, decided) = looking.await??;
        let own = relay.held_back.lock().own;
        let is_behind = tracker.look(&written, &decided, Instant::now());
        report(relay, Some(tracker.standing_still(Instant::now(), own)));
        sleep(if is_behind { CLOSELY } else { EVERY }).await;
    }
    Ok(())
}

fn report(relay: &Relay, found: Option<Vec<Held>>) {
    relay.held_back.lock().found = found;
    say(relay);
}

/// One line in the log when it begins, and one when it is over.
fn say(relay: &Relay) {
    match relay.held_back.reason() {
        Some(reason) => relay.health.dependency(OPEN_TRANSACTION).down(reason),
        None if relay.health.dependencies().contains_key(OPEN_TRANSACTION) => {
            relay.health.dependency(OPEN_TRANSACTION).up();
        }
        None => {}
    }
}

impl Collector for HeldBack {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(found) = self.lock().found.clone() else {
            return Vec::new();
        };
        families(&found).unwrap_or_default()
    }
}

fn options() -> Opts {
    Opts::new(
        "relay_held_back_partitions",
        "1 for each partition that an open transaction has held back for more than 3 seconds: read_committed readers get nothing from this offset on. 0, without labels, if there is none.",
    )
}

fn families(found: &[Held]) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let options = options();
    if found.is_empty() {
        return Ok(IntGauge::with_opts(options)?.collect());
    }
    let gauges = IntGaugeVec::new(options, &["topic", "partition", "offset"])?;
    for Held { place, offset } in found {
        let (partition, offset) = (place.partition.to_string(), offset.to_string());
        gauges.with_label_values(&[place.topic.as_str(), &partition, &offset]).set(1);
    }
    Ok(gauges.collect())
}

//! Restarts of a single broker under a steady mixed load, on a machine that has no
//! processor to spare: after each, how long until data flows again by itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::chaos::{Findings, Ledger, Load, Losses, Pace, check, wait_until_drained};
use crate::{Pipeline, Servers};

/// The promise: from the broker's first answer to the row of a later write.
pub const LONGEST: Duration = Duration::from_secs(8);

/// After which a pipeline that does not move counts as stalled for good.
const STALLED: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(120);
/// Twenty writes a second, give or take.
const CLIENTS: u64 = 4;
const REST_MILLIS: std::ops::Range<u64> = 140..220;
/// What a restart interrupts must be in full swing.
const BETWEEN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SIGTERM, as `deploy/local/stack stop` does it.
    Clean,
    /// SIGKILL.
    Kill,
}

#[derive(Debug, Clone, Copy)]
pub struct Restart {
    pub how: How,
    /// From the first sign of the stop until the broker answered again.
    pub away: Duration,
    /// From then until a write that began later had its row; nothing if none had.
    pub recovered: Option<Duration>,
}

pub struct Outcome {
    pub restarts: Vec<Restart>,
    pub writes: usize,
    pub findings: Findings,
    /// Answers against the contract, and what `outboxctl verify` has to say.
    pub complaints: Vec<String>,
}

/// Restarts Kafka as often as asked, alternately cleanly and by a kill, and checks in the
/// end. It stops early if the pipeline stalls.
pub async fn run(servers: &Servers, times: usize, tell: impl Fn(&str)) -> Outcome {
    let pipeline = Pipeline::start(servers, "restarts").await;
    tell(&format!("logs and ledger in {}", pipeline.logs().display()));
    let ledger = Arc::new(Ledger::create(pipeline.logs().join("acknowledged.jsonl")));
    let pace = Pace { clients: CLIENTS, rest_millis: REST_MILLIS };
    let load = Load::start(1, &pace, &[pipeline.api.url()], &ledger, pipeline.rows());
    load.probes().wait(Instant::now(), DRAIN).await;

    let busy = Busy::on_every_core();
    let mut restarts: Vec<Restart> = Vec::new();
    while restarts.len() < times && restarts.iter().all(|restart| restart.recovered.is_some()) {
        tokio::time::sleep(BETWEEN).await;
        let how = if restarts.len().is_multiple_of(2) { How::Clean } else { How::Kill };
        let restart = restart(servers, &load, how).await;
        tell(&format!("{:>3}  {restart}", restarts.len() + 1));
        restarts.push(restart);
    }
    drop(busy);

    let written = load.finish().await;
    let losses = Losses::default();
    wait_until_drained(pipeline.environment(), &losses, DRAIN).await;
    let findings = check(ledger.path(), pipeline.environment(), &losses).await;
    let mut complaints = written.tally.surprises;
    let verify = pipeline.outboxctl(&["verify", "--wait", "60"]).await;
    if !verify.status.success() {
        let said = [verify.stdout, verify.stderr].concat();
        complaints.push(String::from_utf8_lossy(&said).into_owned());
    }
    Outcome { restarts, writes: Ledger::read(ledger.path()).len(), findings, complaints }
}

async fn restart(servers: &Servers, load: &Load, how: How) -> Restart {
    let began = Instant::now();
    let command = match how {
        How::Clean => "stop",
        How::Kill => "kill",
    };
    servers.control(command, "kafka").await;
    // Returns when the broker answers.
    servers.control("start", "kafka").await;
    let answers = Instant::now();
    load.probes().wait(answers, STALLED).await;
    let recovered = load.probes().recovery(answers);
    Restart { how, away: answers - began, recovered }
}

/// Threads that compute without pause until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn on_every_core() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Outcome {
    /// Each restart was recovered from in time, and no promise was broken.
    pub fn is_clean(&self) -> bool {
        let in_time = |restart: &Restart| restart.recovered.is_some_and(|took| took <= LONGEST);
        self.restarts.iter().all(in_time) && self.findings.is_clean() && self.complaints.is_empty()
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Clean => "stop",
            How::Kill => "kill -9",
        };
        write!(f, "{how:<8} away {:.1} s, ", self.away.as_secs_f64())?;
        match self.recovered {
            Some(took) => write!(f, "recovered after {:.1} s", took.as_secs_f64()),
            None => write!(f, "not recovered within {} s", STALLED.as_secs()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut took: Vec<_> = self.restarts.iter().filter_map(|it| it.recovered).collect();
        took.sort_unstable();
        let stalled = self.restarts.len() - took.len();
        write!(f, "{} restarts under {} writes: ", self.restarts.len(), self.writes)?;
        if let (Some(median), Some(longest)) = (took.get(took.len() / 2), took.last()) {
            let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
            write!(f, "recovered after {median:.1} s (median), {longest:.1} s (longest), ")?;
        }
        writeln!(f, "{stalled} stalled")?;
        for (breach, what) in self.findings.examples() {
            writeln!(f, "{breach}: {what}")?;
        }
        self.complaints.iter().try_for_each(|said| writeln!(f, "{said}"))
    }
}

//! `make chaos`: careful clients write without pause while a seeded schedule kills,
//! freezes, restarts and cuts off all that the pipeline consists of and rests on. In the
//! end everything is started again, and a checker counts which promise was broken.
//!
//! The seed decides what the clients want and which faults come in which order; the
//! machine decides how far both come in the time.

mod check;
mod combinations;
mod expel;
mod fault;
mod fleet;
mod ledger;
mod load;
mod losses;
mod mysql;
mod naming;
mod report;
mod schedule;
mod setback;
mod suffer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;

pub use self::check::{Breach, Findings, check, delete_unread, wait_until_drained};
use self::fault::What;
pub use self::fleet::Fleet;
pub use self::ledger::{Acknowledged, How, Ledger};
pub use self::load::{Load, Pace, Written};
pub use self::losses::Losses;
pub use self::report::{Report, Suffered};
pub use self::schedule::Deck;
use self::setback::Aftermath;
use crate::{Rows, Servers};

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub seed: u64,
    pub seconds: u64,
    /// Each of them asks one thing after another.
    pub clients: u64,
    pub relays: Relays,
    pub deck: Deck,
}

/// What the two relays are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relays {
    /// One leads, the other stands by.
    Standby,
    /// Each publishes its half of the outbox. Then "the standby relay" is the first half's.
    Shards,
}

/// For a write to arrive where nothing is broken, and for the rows to equal the
/// documents once the clients are done.
const DRAIN: Duration = Duration::from_secs(120);
/// For data to flow, before a fault that hits nothing else.
const FLOWS: Duration = Duration::from_secs(20);

/// Runs it, telling each fault as it is done, and checks.
pub async fn run(servers: &Servers, settings: Settings, tell: impl Fn(&str)) -> Report {
    let fleet = Fleet::start(servers, "chaos", settings.relays).await;
    let ledger = Arc::new(Ledger::create(fleet.logs().join("acknowledged.jsonl")));
    tell(&format!("logs and ledger in {}", fleet.logs().display()));
    let rows = Rows::new(fleet.environment());
    let urls = fleet.client_urls();
    let pace = Pace::without_pause(settings.clients);
    let mut load = Load::start(settings.seed, &pace, urls, &ledger, rows);
    // What has not yet begun to work has nothing to recover.
    load.probes().wait(Instant::now(), DRAIN).await;
    let began = Instant::now();
    let whole = Duration::from_secs(settings.seconds);
    let (mut suffered, mut aftermath) = (Vec::new(), Aftermath::default());
    for incident in schedule::draw(settings.seed, whole, settings.deck) {
        tokio::time::sleep(incident.pause).await;
        if began.elapsed() >= whole {
            break;
        }
        if incident.what.must_meet_events() {
            load.probes().wait(Instant::now(), FLOWS).await;
        }
        let at = Instant::now();
        match &incident.what {
            What::Faults(faults) => {
                join_all(faults.iter().map(|fault| fleet.suffer(*fault))).await;
            }
            What::Setback(setback, after) => {
                load = fleet.set_back(*setback, *after, load, &ledger, &mut aftermath).await;
            }
        }
        let (lasted, over) = (at.elapsed(), Instant::now());
        let incident = Suffered { incident, at: at - began, over, lasted };
        tell(&incident.to_string());
        suffered.push(incident);
    }
    fleet.wait_until_ready().await;
    tell("all is up again: waiting for the clients' last answers and the last rows");
    // A write that goes all the way is the proof that all of it works again.
    load.probes().wait(Instant::now(), DRAIN).await;
    let written = load.finish().await;
    let Aftermath { losses, taken, mut findings, unhelpful } = aftermath;
    let drained = wait_until_drained(fleet.environment(), &losses, DRAIN).await;
    findings.add(check(ledger.path(), fleet.environment(), &losses).await);
    let second_opinion = fleet.outboxctl(&["verify"]).await.err();
    let acknowledged = Ledger::read(ledger.path());
    Report {
        settings,
        took: began.elapsed(),
        suffered,
        taken,
        unhelpful,
        acknowledged,
        written,
        drained,
        findings,
        second_opinion,
    }
}

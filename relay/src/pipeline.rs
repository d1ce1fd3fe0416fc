//! The one loop: tail ─► batch ─► transaction ─► advance.
//!
//! Reading goes on while a transaction is under way, as far [`Ahead`] as memory is given
//! for; then the tail is not read. When nothing is under way an event leaves as soon as
//! it is read: no timer delays it, unless `RELAY_TRANSACTION_INTERVAL_MS` asks for that.

use std::time::{Duration, Instant};

use crate::Relay;
use crate::ahead::Ahead;
use crate::batch::{Batch, Limits};
use crate::kafka::is_down;
use crate::position::Position;
use crate::recover::CatchUp;
use crate::session::Ended;
use crate::stage::{Reached, Stage, Turn, reached_at};
use crate::tail::{Read, Tail, TailError};
use shared::Timestamp;

/// An idle stream's position moves on with other collections' writes. It is written
/// down this often, so that a quiet week does not age it out of the oplog.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(10);

/// A stop may wait this long to learn whether anything was left.
const LAST_READ: Duration = Duration::from_millis(600);

/// Publishes what `tail` brings until that fails or the process shall stop.
/// `catch_up` names the events that a sweep has just published.
pub async fn stream(
    relay: &Relay,
    stage: &mut Stage<'_>,
    mut tail: Tail,
    mut catch_up: Option<CatchUp>,
) -> Ended {
    let mut ahead = Ahead::new(relay.limits());
    let mut idle = Idle::default();
    loop {
        let step = step(relay, stage, &mut tail, &mut ahead, &mut catch_up, &mut idle);
        match step.await {
            Ok(()) => {}
            Err(Ended::Stopped) => return stop(relay, stage, &mut tail, ahead, catch_up).await,
            Err(ended) => return ended,
        }
    }
}

async fn step(
    relay: &Relay,
    stage: &mut Stage<'_>,
    tail: &mut Tail,
    ahead: &mut Ahead,
    catch_up: &mut Option<CatchUp>,
    idle: &mut Idle,
) -> Result<(), Ended> {
    if stage.due(ahead).is_some_and(|due| due <= Instant::now()) {
        let batch = take(ahead, stage, catch_up);
        stage.start(batch)?;
        idle.since = Instant::now();
    }
    let due = stage.due(ahead);
    let rests_until = stage.rests_until(ahead).filter(|_| !tail.asks_ahead());
    let waiting = ahead.waiting();
    tokio::select! {
        biased;
        () = relay.shutdown.cancelled() => Err(Ended::Stopped),
        turn = stage.turn(waiting) => match turn? {
            Turn::Ended(outcome) => stage.settle(*outcome).await,
            Turn::Room => stage.extend(|stage| take(ahead, stage, catch_up)),
            Turn::Delivered => Ok(()),
        },
        () = wait_until(due) => Ok(()),
        () = wait_until(rests_until) => Ok(()),
        read = read(tail, ahead.room()), if rests_until.is_none() => {
            relay.mongodb_answered();
            match read? {
                Read::Idle { asked_at, position } if stage.is_idle() && ahead.is_empty() => {
                    CatchUp::reach(catch_up, stage, &position);
                    idle.observe(relay, stage, catch_up.is_some(), asked_at, position);
                }
                Read::Idle { .. } | Read::Events => {}
            }
            Ok(())
        }
    }
}

/// The next batch, without what the topics hold already.
fn take(ahead: &mut Ahead, stage: &mut Stage<'_>, catch_up: &mut Option<CatchUp>) -> Batch {
    let mut batch = ahead.take();
    CatchUp::pass(catch_up, stage, &mut batch);
    batch
}

/// Waits for ever where nothing is due.
async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for ever where there is no room.
async fn read(tail: &mut Tail, room: Option<&mut Batch>) -> Result<Read, TailError> {
    match room {
        Some(batch) => tail.read(batch).await,
        None => std::future::pending().await,
    }
}

/// The transaction under way is finished or aborted; what was read but not sent will be
/// read again. If nothing was left to read, the last checkpoint says so.
async fn stop(
    relay: &Relay,
    stage: &mut Stage<'_>,
    tail: &mut Tail,
    ahead: Ahead,
    catch_up: Option<CatchUp>,
) -> Ended {
    let mut settled = stage.finish().await;
    if settled.is_ok() && ahead.is_empty() && catch_up.is_none() {
        let mut more = Batch::new(relay.limits());
        let last = tokio::time::timeout(LAST_READ, tail.read(&mut more)).await;
        if let Ok(Ok(Read::Idle { asked_at, position })) = last {
            let reached = Reached { drained: true, ..reached_at(position, asked_at) };
            stage.start_checkpoint(reached, relay.limits());
            settled = stage.finish().await;
        }
    }
    if let Err(ended) = settled {
        tracing::info!(reason = %ended, "the last transaction was not committed");
    }
    Ended::Stopped
}

/// What an empty read with nothing under way is good for: a proof, and now and then a
/// checkpoint.
struct Idle {
    since: Instant,
    written: Option<Position>,
}

impl Default for Idle {
    fn default() -> Self {
        Self { since: Instant::now(), written: None }
    }
}

impl Idle {
    fn observe(
        &mut self,
        relay: &Relay,
        stage: &mut Stage<'_>,
        catching_up: bool,
        asked_at: Timestamp,
        position: Position,
    ) {
        relay.metrics.lag.prove(asked_at);
        if catching_up {
            return;
        }
        relay.metrics.lag.cover(position.time);
        let is_old = self.since.elapsed() >= IDLE_CHECKPOINT;
        // A checkpoint that Kafka takes proves that it is back.
        let due = self.written.is_none() || is_old || is_down(relay);
        if due && self.written.as_ref() != Some(&position) {
            self.since = Instant::now();
            self.written = Some(position.clone());
            stage.start_checkpoint(reached_at(position, asked_at), relay.limits());
        }
    }
}

impl Relay {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            events: self.config.batch_events as usize,
            bytes: self.config.batch_bytes as usize,
        }
    }

    fn mongodb_answered(&self) {
        self.mongodb.up();
    }
}

//! Says in MongoDB how far this shard has come, and the projector behind it, for whoever
//! waits for an event there (the API) or shows it.
//!
//! It runs beside the pipeline, which only notes where events landed and never waits for
//! this. Nothing depends on it: where a server is away the watermark grows old, no more.
//! One document a shard, written at most every [`EVERY`] while events move, or as often as
//! transactions are made where they are kept further apart (but at least every [`SELDOM`]),
//! and every [`BEAT`] while none do; never once an event.

use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;
use shared::Timestamp;
use shared::process::{Dependency, Health};
use shared::watermark::{Loss, Unreadable, Watermark, field};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Relay;
use crate::frontier::Frontier;
use crate::group::{Committed, Group, GroupError};
use crate::group_watch::GroupWatch;
use crate::kafka::{KAFKA_RETRY, Watch, blocking, reader_config};
use crate::lag::Advance;
use crate::landing::Ends;
use crate::losses::Losses;
use crate::position::ClusterTime;
use crate::read_to_end::NotRead;
use crate::source::{is_duplicate, plain};
use crate::survey::survey;

/// The shortest time between two watermarks: a client that waits for one waits no longer.
const EVERY: Duration = Duration::from_millis(50);
/// A watermark of that age would look as if nobody wrote it any more.
const BEAT: Duration = Duration::from_secs(10);
/// The committed offsets are asked for after [`EVERY`], then less and less often while the
/// projector does not move, at last after so long.
const SELDOM: Duration = Duration::from_secs(1);
/// How often a relay that does not lead looks whether it does.
const IDLE: Duration = Duration::from_millis(500);

/// Why no watermark can be written at the moment.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("MongoDB: {}", plain(.0))]
    Mongo(#[from] Error),
    #[error("Kafka: {0}")]
    Group(#[from] GroupError),
    #[error("Kafka: {0}")]
    Survey(#[from] NotRead),
    #[error(transparent)]
    Encoding(#[from] Unreadable),
    #[error("a bug: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Writes watermarks until the process stops.
pub async fn run(relay: &Relay) {
    // Of its own, and not one of the process: the relay is ready without it.
    let state = Health::default().dependency("watermark");
    let mut waits = KAFKA_RETRY.waits();
    loop {
        let wait = match in_office(relay, &state).await {
            Ok(true) => {
                waits = KAFKA_RETRY.waits();
                Duration::ZERO
            }
            Ok(false) => IDLE,
            Err(obstacle) => {
                state.down(&obstacle);
                waits.next().unwrap_or(IDLE)
            }
        };
        sleep(wait).await;
    }
}

/// Nothing of what was written about this shard holds any more.
///
/// # Errors
/// Where MongoDB is away.
pub async fn withdraw(relay: &Relay) -> Result<(), Error> {
    let shard = relay.shard.to_string();
    let former = doc! { "$not": { "$regex": format!("/{}$", relay.shard.count()) } };
    let filter = doc! {
        "$or": [{ field::SHARD: shard }, { field::SHARD: former }],
        field::PUBLISHED_THROUGH: { "$exists": true },
    };
    relay.source.watermarks.delete_many(filter).await.map(|_| ())
}

/// From a position that is established to the end of that session; false where there is
/// none.
async fn in_office(relay: &Relay, state: &Dependency) -> Result<bool, Obstacle> {
    let Some(beginning) = advance(relay) else {
        return Ok(false);
    };
    relay.metrics.lag.watermark_is_due();
    let group = Group::new(relay, Watch(state.clone()))?;
    let term = beginning.term;
    let mut frontier = Frontier::new(beginning, look_around(relay, state).await?);
    let stored = stored(relay).await?;
    let applied_before = stored.as_ref().and_then(|stored| stored.applied_through);
    let applied_before = applied_before.map(ClusterTime::from);
    let mut losses = Losses::known(stored.map(|stored| stored.lost).unwrap_or_default());
    let mut watch = GroupWatch::since(Timestamp::now());
    let mut rhythm = Rhythm::new(relay.config.transaction_interval());
    loop {
        let beat = rhythm.look();
        if beat || frontier.is_awaited() {
            let Committed { ends, lost } = group.committed(frontier.places()).await?;
            if !losses.knows(&lost) {
                // All of it was committed before now.
                let through = relay.source.cluster_time().await?;
                losses.add(&lost, frontier.applied().or(applied_before), through);
                frontier.has_news();
            }
            let moved = frontier.see(ends);
            rhythm.heed(moved);
            watch.see(moved, frontier.is_awaited(), Timestamp::now());
        }
        let attendance = watch.count(relay.metrics.members.get(), Timestamp::now());
        if frontier.take_news() || attendance || beat {
            write(relay, &frontier, &watch, losses.list()).await?;
            state.up();
        }
        rhythm.wait(relay, frontier.is_awaited()).await;
        let next = advance(relay).filter(|next| next.term == term);
        // Another session, or it is not known where something landed.
        if !next.is_some_and(|next| frontier.advance(next)) {
            return Ok(true);
        }
    }
}

/// `None` where this relay does not lead, or does not know where it stands.
fn advance(relay: &Relay) -> Option<Advance> {
    if relay.metrics.leader.get() == 0 {
        return None;
    }
    relay.metrics.lag.advance()
}

async fn look_around(relay: &Relay, state: &Dependency) -> Result<Ends, Obstacle> {
    let settings = reader_config(&relay.config);
    let watch = Watch(state.clone());
    let topics: Vec<String> = relay.topics.events().map(str::to_owned).collect();
    let looking = blocking(&relay.shutdown, move |stop| survey(&settings, &watch, &topics, stop));
    Ok(looking.await??)
}

/// What an earlier session has written.
async fn stored(relay: &Relay) -> Result<Option<Watermark>, Obstacle> {
    let watermarks = relay.source.watermarks.clone_with_type::<RawDocumentBuf>();
    let stored = watermarks.find_one(doc! { field::SHARD: relay.shard.to_string() }).await?;
    Ok(stored.map(|stored| Watermark::parse(&stored)).transpose()?)
}

/// Writes the document, unless one is there that says more: then another relay leads.
async fn write(
    relay: &Relay,
    frontier: &Frontier,
    watch: &GroupWatch,
    lost: Vec<Loss>,
) -> Result<(), Obstacle> {
    let dead_letters = relay.metrics.refused.dead_letters();
    let watermark = Watermark {
        shard: relay.shard.to_string(),
        at: Timestamp::now(),
        proven_at: relay.metrics.lag.proven(),
        published_through: frontier.published().into(),
        applied_through: frontier.applied().map(bson::Timestamp::from),
        partitions: frontier.partitions(),
        dead_letters: dead_letters.and_then(|letters| i64::try_from(letters).ok()),
        obstacle: relay.in_the_way.get(),
        lost,
        group: Some(watch.report()),
    };
    let older = doc! {
        field::SHARD: &watermark.shard,
        field::PUBLISHED_THROUGH: { "$lte": watermark.published_through },
    };
    let updating = relay.source.watermarks.update_one(older, update(&watermark)?).upsert(true);
    match updating.await {
        Err(error) if is_duplicate(&error) => {
            tracing::debug!("a newer watermark is there already");
        }
        outcome => drop(outcome?),
    }
    relay.metrics.lag.watermark_written(watermark.at);
    Ok(())
}

/// What is applied stays so: after a restart it is known only once the projector has
/// passed all that is in the topics, and until then the stored moment holds.
fn update(watermark: &Watermark) -> Result<Document, Unreadable> {
    let mut set = watermark.to_bson()?;
    set.remove(field::SHARD);
    let applied = set.remove(field::APPLIED_THROUGH);
    // What an earlier relay said of now is over.
    let over = watermark.obstacle.is_none().then(|| doc! { field::OBSTACLE: "" });
    let mut update = doc! { "$set": set };
    if let Some(over) = over {
        update.insert("$unset", over);
    }
    if let Some(applied) = applied {
        update.insert("$max", doc! { field::APPLIED_THROUGH: applied });
    }
    Ok(update)
}

/// When to look, and how long to wait for the next time.
struct Rhythm {
    /// The shortest time between two looks.
    every: Duration,
    looked: Instant,
    next_beat: Instant,
    /// How long the committed offsets are left alone while nothing else happens.
    poll: Duration,
}

impl Rhythm {
    /// Where transactions are kept `apart`, whoever waits for a watermark has time.
    fn new(apart: Duration) -> Self {
        let now = Instant::now();
        let every = apart.clamp(EVERY, SELDOM);
        Self { every, looked: now, next_beat: now, poll: every }
    }

    /// Begins a look; true where the watermark must be written, whatever it shows.
    fn look(&mut self) -> bool {
        self.looked = Instant::now();
        let beat = self.looked >= self.next_beat;
        if beat {
            self.next_beat = self.looked + BEAT;
        }
        beat
    }

    fn heed(&mut self, moved: bool) {
        self.poll = if moved { self.every } else { (self.poll * 2).min(SELDOM) };
    }

    /// Until something happened; where the projector is `awaited`, no longer than it may
    /// be left alone.
    async fn wait(&mut self, relay: &Relay, awaited: bool) {
        let poll = self.looked + self.poll;
        let next = if awaited { poll.min(self.next_beat) } else { self.next_beat };
        let moved = || relay.metrics.lag.moved();
        tokio::select! {
            () = moved() => {
                self.poll = self.every;
                // A lone event is worth nothing here before it is settled, a moment later.
                tokio::time::timeout(self.every, moved()).await.ok();
            }
            () = sleep_until(next) => {}
        }
        sleep_until(self.looked + self.every).await;
    }
}

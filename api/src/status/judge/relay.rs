use shared::Timestamp;

use super::{LATE_SECONDS, MOMENT_SECONDS, SILENT_SECONDS, reports, seconds};
use crate::status::reading::{Obstacle, Relay, RelayState, ShardReport};
use crate::store::{Division, Waiting, earliest};

pub fn relay(division: &Division, waiting: Option<Waiting>, now: Timestamp) -> Relay {
    let reported_at = earliest(division, |watermark| Some(watermark.at));
    let lag_seconds = waiting.map(|waiting| lag(waiting.oldest, now));
    let obstacle = obstacle(division, now);
    let state = match (reported_at, lag_seconds) {
        (None, _) => RelayState::Unknown,
        (Some(at), _) if seconds(at, now) > SILENT_SECONDS => RelayState::Silent,
        (Some(_), _) if obstacle.is_some() => RelayState::Blocked,
        (Some(_), None) => RelayState::Unknown,
        (Some(_), Some(lag)) if lag > LATE_SECONDS => RelayState::Late,
        (Some(_), Some(_)) => RelayState::Ok,
    };
    let shards = division.iter().map(|(shard, watermark)| ShardReport {
        shard: shard.clone(),
        reported_at: watermark.as_ref().map(|watermark| watermark.at),
        proven_at: watermark.as_ref().and_then(|watermark| watermark.proven_at),
    });
    Relay { state, reported_at, lag_seconds, obstacle, shards: shards.collect() }
}

/// The longest standing one; what came up a moment ago may pass by itself.
fn obstacle(division: &Division, now: Timestamp) -> Option<Obstacle> {
    let obstacles = reports(division).filter_map(|watermark| watermark.obstacle.as_ref());
    let standing = obstacles.filter(|obstacle| seconds(obstacle.since, now) >= MOMENT_SECONDS);
    let longest = standing.min_by_key(|obstacle| obstacle.since)?;
    Some(Obstacle {
        server: longest.server.clone(),
        reason: longest.reason.clone(),
        since: longest.since,
    })
}

fn lag(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| seconds(oldest, now))
}

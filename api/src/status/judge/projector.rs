//! The projector, by what the relay reports of its consumer group.

use shared::Timestamp;
use shared::watermark::{GroupReport, Watermark};

use super::{LATE_SECONDS, MOMENT_SECONDS, STUCK_SECONDS, is_current, reports, seconds};
use crate::status::reading::{Projector, Relay, Timeliness};
use crate::store::{Division, Pipeline, earliest};

/// Of a relay that is silent, or knows nothing of now, nothing is believed.
pub fn projector(pipeline: &Pipeline, relay: &Relay, now: Timestamp) -> Projector {
    if !is_current(relay) {
        return Projector::default();
    }
    let division = &pipeline.watermarks;
    let lags = lags(pipeline, relay, now);
    let own_lag = lags.map(|(_, own)| own);
    Projector {
        state: timeliness(division, own_lag, now),
        lag_seconds: lags.map(|(lag, _)| lag),
        own_lag_seconds: own_lag,
        instances: newest(division).and_then(|group| group.members),
    }
}

/// The whole lag, and what of it is not the relay's.
fn lags(pipeline: &Pipeline, relay: &Relay, now: Timestamp) -> Option<(f64, f64)> {
    let division = &pipeline.watermarks;
    let applied = earliest(division, |watermark| watermark.applied_through)?;
    let relay_lag = relay.lag_seconds?;
    let own_lag = match pipeline.oldest_unapplied {
        _ if is_all_applied(division) => relay_lag,
        Some(oldest) => seconds(oldest, now),
        // The events have left the outbox: it is as late as the time that it stands at.
        None => Timestamp::from_millis(i64::from(applied.time) * 1000)
            .map_or(relay_lag, |moment| seconds(moment, now)),
    };
    let lag = own_lag.max(relay_lag);
    Some((lag, lag - relay_lag))
}

/// A relay that has just begun to lead reports a newer moment before it can prove that all
/// up to it is applied. So the offsets count as well: where none is left, none is late.
fn is_all_applied(division: &Division) -> bool {
    let all = |watermark: &Watermark| {
        let mut partitions = watermark.partitions.iter();
        watermark.applied_through >= Some(watermark.published_through)
            || !watermark.partitions.is_empty()
                && partitions.all(|partition| partition.behind() == Some(0))
    };
    reports(division).all(all)
}

fn timeliness(division: &Division, own_lag: Option<f64>, now: Timestamp) -> Timeliness {
    let absent = newest(division).and_then(|group| group.absent_since);
    if absent.is_some_and(|since| seconds(since, now) >= MOMENT_SECONDS) {
        return Timeliness::Absent;
    }
    let is_late = own_lag.is_none_or(|lag| lag > LATE_SECONDS);
    match (behind_for(division, now), still_for(division, now)) {
        (_, Some(still)) if is_late && still > STUCK_SECONDS => Timeliness::Stuck,
        _ if own_lag.is_none() => Timeliness::Unknown,
        // What a relay publishes late reaches the projector late: that is not its fault.
        (Some(behind), _) if is_late && behind <= LATE_SECONDS => Timeliness::Ok,
        _ if is_late => Timeliness::Late,
        _ => Timeliness::Ok,
    }
}

/// For how long something has been waiting for it; `None` where an older relay reports.
fn behind_for(division: &Division, now: Timestamp) -> Option<f64> {
    let groups = reports(division).filter_map(|watermark| watermark.group.as_ref());
    let behind = groups.map(|it| it.behind_since.map_or(0.0, |since| seconds(since, now)));
    behind.reduce(f64::max)
}

/// For how long it has moved nothing, although something waited.
fn still_for(division: &Division, now: Timestamp) -> Option<f64> {
    let groups = reports(division).filter_map(|watermark| watermark.group.as_ref());
    let still = groups.filter_map(|it| Some(seconds(it.behind_since?.max(it.moved_at), now)));
    still.reduce(f64::max)
}

/// Each shard sees the same group: the newest report tells.
fn newest(division: &Division) -> Option<&GroupReport> {
    reports(division).max_by_key(|watermark| watermark.at)?.group.as_ref()
}

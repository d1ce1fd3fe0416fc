//! What was read, judged: where it stands, how late, and which hop holds it up.

use std::collections::BTreeMap;

use shared::Timestamp;
use shared::event::Domain;
use shared::watermark::{Partition, Watermark};

use super::reading::{
    Answers, Hop, Outbox, Projector, Reading, Relay, RelayState, ShardReport, State, Timeliness,
    Topic,
};
use crate::store::{COUNTED, Division, PACE_MILLIS, Pipeline, Waiting, earliest};

/// A hop with more lag than this is late: earlier than an alert, for somebody who looks.
const LATE_SECONDS: f64 = 10.0;
/// The relay reports every 10 s when nothing changes. After twice that it is silent.
const SILENT_SECONDS: f64 = 20.0;

impl Reading {
    /// MongoDB gave no answer: nothing is known.
    pub fn unknown(at: Timestamp) -> Self {
        Self {
            at,
            state: State::Unknown,
            held_up_at: Some(Hop::Mongodb),
            mongodb: Answers::Unknown,
            documents: None,
            outbox: None,
            relay: Relay::default(),
            topics: None,
            projector: Projector::default(),
            dead_letters: None,
        }
    }

    pub fn of(pipeline: Pipeline, at: Timestamp) -> Self {
        let division = &pipeline.watermarks;
        let relay = relay(division, pipeline.waiting, at);
        let projector = projector(&pipeline, &relay, at);
        let topics = topics(division);
        let (state, held_up_at) = state(&relay, &projector, pipeline.pace.newest, at);
        let reports = division.iter().filter_map(|(_, watermark)| watermark.as_ref());
        let dead_letters = reports.filter_map(|watermark| watermark.dead_letters).max();
        let waiting = pipeline.waiting.map(|waiting| waiting.events);
        Self {
            at,
            state,
            held_up_at,
            mongodb: Answers::Ok,
            outbox: Some(Outbox {
                records: pipeline.records,
                waiting,
                waiting_is_capped: waiting.is_some_and(|events| events >= COUNTED),
                events_per_second: pipeline.pace.events_per_second,
                last_event_at: pipeline.pace.newest,
                dead: pipeline.dead_events,
            }),
            relay,
            topics,
            projector,
            dead_letters,
            documents: Some(pipeline.documents),
        }
    }
}

fn relay(division: &Division, waiting: Option<Waiting>, now: Timestamp) -> Relay {
    let reported_at = earliest(division, |watermark| Some(watermark.at));
    let lag_seconds = waiting.map(|waiting| lag(waiting.oldest, now));
    let state = match (reported_at, lag_seconds) {
        (None, _) => RelayState::Unknown,
        (Some(at), _) if seconds(at, now) > SILENT_SECONDS => RelayState::Silent,
        (Some(_), None) => RelayState::Unknown,
        (Some(_), Some(lag)) if lag > LATE_SECONDS => RelayState::Late,
        (Some(_), Some(_)) => RelayState::Ok,
    };
    let shards = division.iter().map(|(shard, watermark)| ShardReport {
        shard: shard.clone(),
        reported_at: watermark.as_ref().map(|watermark| watermark.at),
        proven_at: watermark.as_ref().and_then(|watermark| watermark.proven_at),
    });
    Relay { state, reported_at, lag_seconds, shards: shards.collect() }
}

/// All that is known of the projector is what the relay reports: of a silent one, nothing.
fn projector(pipeline: &Pipeline, relay: &Relay, now: Timestamp) -> Projector {
    let applied = earliest(&pipeline.watermarks, |watermark| watermark.applied_through);
    let (Some(applied), Some(relay_lag)) = (applied, relay.lag_seconds) else {
        return Projector::default();
    };
    if relay.state == RelayState::Silent {
        return Projector::default();
    }
    let own_lag = match pipeline.oldest_unapplied {
        Some(oldest) => seconds(oldest, now),
        None if is_all_applied(&pipeline.watermarks) => relay_lag,
        // The events have left the outbox: it is as late as the time that it stands at.
        None => Timestamp::from_millis(i64::from(applied.time) * 1000)
            .map_or(relay_lag, |moment| seconds(moment, now)),
    };
    let lag_seconds = own_lag.max(relay_lag);
    let own_lag_seconds = lag_seconds - relay_lag;
    let late = own_lag_seconds > LATE_SECONDS;
    Projector {
        state: if late { Timeliness::Late } else { Timeliness::Ok },
        lag_seconds: Some(lag_seconds),
        own_lag_seconds: Some(own_lag_seconds),
    }
}

fn is_all_applied(division: &Division) -> bool {
    let mut reports = division.iter().filter_map(|(_, watermark)| watermark.as_ref());
    reports.all(|watermark| watermark.applied_through >= Some(watermark.published_through))
}

/// The first hop, in the order of the flow, that is not in time.
fn state(
    relay: &Relay,
    projector: &Projector,
    newest: Option<Timestamp>,
    now: Timestamp,
) -> (State, Option<Hop>) {
    match (relay.state, projector.state) {
        (RelayState::Unknown, _) => (State::Unknown, Some(Hop::Relay)),
        (RelayState::Silent, _) => (State::Stuck, Some(Hop::Relay)),
        (RelayState::Late, _) => (State::Late, Some(Hop::Relay)),
        (RelayState::Ok, Timeliness::Unknown) => (State::Unknown, Some(Hop::Projector)),
        (RelayState::Ok, Timeliness::Late) => (State::Late, Some(Hop::Projector)),
        (RelayState::Ok, Timeliness::Ok) => {
            let moves = newest.is_some_and(|at| now.millis() - at.millis() < PACE_MILLIS);
            (if moves { State::Flowing } else { State::Idle }, None)
        }
    }
}

/// The five topics; each shard speaks of all partitions, and the furthest is the newest.
fn topics(division: &Division) -> Option<Vec<Topic>> {
    let reports: Vec<&Watermark> =
        division.iter().filter_map(|(_, watermark)| watermark.as_ref()).collect();
    if reports.is_empty() {
        return None;
    }
    let mut partitions: BTreeMap<(Domain, i32), Partition> = BTreeMap::new();
    for partition in reports.into_iter().flat_map(|watermark| &watermark.partitions) {
        // The name on the cluster has a prefix, and none of the five ends like another.
        let ends = |domain: &Domain| partition.topic.ends_with(domain.topic());
        let Some(domain) = Domain::ALL.into_iter().find(ends) else {
            continue;
        };
        let known = partitions.entry((domain, partition.partition)).or_insert(partition.clone());
        known.end = known.end.max(partition.end);
        known.applied = known.applied.max(partition.applied);
    }
    // The projector begins at the beginning: where its group has ever committed anything, a
    // partition without an offset is one that it has not come to.
    let group_is_known = partitions.values().any(|partition| partition.applied.is_some());
    let applied = |partition: &Partition| {
        let known = group_is_known || partition.end == 0;
        let applied = partition.applied.or(known.then_some(0));
        // Behind the last event lies the marker of its transaction, which counts for nothing.
        applied.map(|offset| offset.min(partition.end))
    };
    let topic = |domain: Domain| {
        let ours: Vec<&Partition> =
            partitions.iter().filter(|(at, _)| at.0 == domain).map(|(_, found)| found).collect();
        let known = !ours.is_empty();
        let end: Option<i64> = known.then(|| ours.iter().map(|partition| partition.end).sum());
        let applied: Option<i64> =
            known.then(|| ours.iter().map(|partition| applied(partition)).sum()).flatten();
        let to_go = end.zip(applied).map(|(end, applied)| end - applied);
        Topic { topic: domain.topic(), end, applied, to_go }
    };
    Some(Domain::ALL.into_iter().map(topic).collect())
}

fn lag(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| seconds(oldest, now))
}

/// Clocks of two machines may disagree: a moment that lies in our future counts as now.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 milliseconds")]
fn seconds(since: Timestamp, now: Timestamp) -> f64 {
    (now.millis() - since.millis()).max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests;

use bson::Timestamp as ClusterTime;

use super::*;
use crate::store::Pace;

const NOW: i64 = 1_700_000_100_000;

fn seconds_ago(seconds: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    let millis = (seconds * 1000.0) as i64;
    Timestamp::from_millis(NOW - millis).unwrap()
}

fn cluster(seconds_ago: u32) -> ClusterTime {
    ClusterTime { time: 1_700_000_100 - seconds_ago, increment: 1 }
}

fn partition(topic: &str, partition: i32, end: i64, applied: Option<i64>) -> Partition {
    Partition { topic: topic.to_owned(), partition, end, applied }
}

/// Reported a second ago: all published, all applied.
fn report(shard: &str) -> Watermark {
    Watermark {
        shard: shard.to_owned(),
        at: seconds_ago(1.0),
        proven_at: Some(seconds_ago(1.1)),
        published_through: cluster(2),
        applied_through: Some(cluster(2)),
        partitions: vec![partition("user", 0, 9, Some(9))],
        dead_letters: Some(0),
        obstacle: None,
        lost: Vec::new(),
    }
}

fn pipeline(reports: Vec<Option<Watermark>>) -> Pipeline {
    let count = reports.len();
    let named = |(index, report)| (format!("{index}/{count}"), report);
    Pipeline {
        documents: BTreeMap::new(),
        records: 7,
        dead_events: 0,
        pace: Pace { newest: Some(seconds_ago(2.0)), events_per_second: 0.1 },
        waiting: Some(Waiting::default()),
        oldest_unapplied: None,
        watermarks: reports.into_iter().enumerate().map(named).collect(),
    }
}

fn healthy() -> Pipeline {
    pipeline(vec![Some(report("0/1"))])
}

/// As [`healthy`], but for what the relay says.
fn reporting(change: impl FnOnce(&mut Watermark)) -> Pipeline {
    let mut report = report("0/1");
    change(&mut report);
    pipeline(vec![Some(report)])
}

fn waiting_for(seconds: f64) -> Option<Waiting> {
    Some(Waiting { events: 3, oldest: Some(seconds_ago(seconds)) })
}

#[track_caller]
fn judged(pipeline: Pipeline, state: State, held_up_at: Option<Hop>) -> Reading {
    let reading = Reading::of(pipeline, seconds_ago(0.0));
    assert_eq!((reading.state, reading.held_up_at), (state, held_up_at), "{reading:#?}");
    reading
}

#[test]
fn what_keeps_up_flows_while_something_is_written() {
    let reading = judged(healthy(), State::Flowing, None);
    assert_eq!(reading.relay.lag_seconds, Some(0.0));
    assert_eq!(reading.projector.lag_seconds, Some(0.0));
    for newest in [None, Some(seconds_ago(10.0)), Some(seconds_ago(3600.0))] {
        let pace = Pace { newest, events_per_second: 0.0 };
        judged(Pipeline { pace, ..healthy() }, State::Idle, None);
    }
}

/// An idle relay reports every 10 s: that is no lag.
#[test]
fn an_old_proof_is_no_lag_where_nothing_waits() {
    let idle = reporting(|report| {
        report.at = seconds_ago(9.9);
        report.proven_at = Some(seconds_ago(10.0));
    });
    assert_eq!(judged(idle, State::Flowing, None).relay.lag_seconds, Some(0.0));
}

#[test]
fn the_relay_is_as_late_as_the_oldest_event_that_waits() {
    let soon = Pipeline { waiting: waiting_for(9.5), ..healthy() };
    let reading = judged(soon, State::Flowing, None);
    assert_eq!(reading.relay.lag_seconds, Some(9.5));
    assert_eq!(reading.projector.lag_seconds, Some(9.5), "MySQL is never ahead of Kafka");
    let late = Pipeline { waiting: waiting_for(10.5), ..healthy() };
    let reading = judged(late, State::Late, Some(Hop::Relay));
    assert_eq!(reading.projector.own_lag_seconds, Some(0.0), "it is not the projector's fault");
    assert_eq!(reading.projector.state, Timeliness::Ok);
}

#[test]
fn what_nobody_said_is_unknown_and_not_zero() {
    let never = Pipeline { waiting: None, ..pipeline(Vec::new()) };
    let reading = judged(never, State::Unknown, Some(Hop::Relay));
    assert_eq!((reading.topics, reading.dead_letters), (None, None));
    let unproven = reporting(|report| report.proven_at = None);
    let unproven = Pipeline { waiting: None, ..unproven };
    let reading = judged(unproven, State::Unknown, Some(Hop::Relay));
    assert_eq!((reading.relay.lag_seconds, reading.projector.lag_seconds), (None, None));
    let unread = reporting(|report| report.applied_through = None);
    let reading = judged(unread, State::Unknown, Some(Hop::Projector));
    assert_eq!(reading.projector, Projector::default());
    let unreported = pipeline(vec![Some(report("0/2")), None]);
    let unreported = Pipeline { waiting: None, ..unreported };
    let reading = judged(unreported, State::Unknown, Some(Hop::Relay));
    assert_eq!(reading.relay.shards.len(), 2);
    let away = Reading::unknown(seconds_ago(0.0));
    assert_eq!((away.state, away.held_up_at), (State::Unknown, Some(Hop::Mongodb)));
    assert_eq!((away.documents, away.outbox), (None, None));
}

#[test]
fn of_a_silent_relay_nothing_is_believed_but_what_waits() {
    let silent = reporting(|report| report.at = seconds_ago(20.5));
    let silent = Pipeline { waiting: waiting_for(15.0), ..silent };
    let reading = judged(silent, State::Stuck, Some(Hop::Relay));
    assert_eq!(reading.relay.state, RelayState::Silent);
    assert_eq!(reading.relay.lag_seconds, Some(15.0));
    assert_eq!(reading.projector, Projector::default());
    let one_of_two = pipeline(vec![
        Some(report("0/2")),
        Some(Watermark { at: seconds_ago(30.0), ..report("1/2") }),
    ]);
    judged(one_of_two, State::Stuck, Some(Hop::Relay));
}

#[test]
fn the_projector_is_as_late_as_the_oldest_event_that_is_not_applied() {
    let behind = || reporting(|report| report.applied_through = Some(cluster(30)));
    let late = Pipeline { oldest_unapplied: Some(seconds_ago(12.0)), ..behind() };
    let reading = judged(late, State::Late, Some(Hop::Projector));
    assert_eq!(reading.projector.lag_seconds, Some(12.0));
    let little = Pipeline { oldest_unapplied: Some(seconds_ago(0.5)), ..behind() };
    let reading = judged(little, State::Flowing, None);
    assert_eq!(reading.projector.lag_seconds, Some(0.5));
    // Purged meanwhile: then the relay's word is all there is.
    let reading = judged(behind(), State::Late, Some(Hop::Projector));
    assert_eq!(reading.projector.lag_seconds, Some(30.0));
}

#[test]
fn offsets_are_added_up_over_partitions_and_the_furthest_shard_is_the_newest() {
    let with = |shard: &str, partitions| Watermark { partitions, ..report(shard) };
    let pipeline = pipeline(vec![
        Some(with(
            "0/2",
            vec![
                partition("dev.user", 0, 10, Some(4)),
                partition("dev.user", 1, 5, Some(6)),
                partition("dev.order", 0, 0, None),
                partition("dev.post", 0, 3, None),
            ],
        )),
        Some(Watermark {
            dead_letters: Some(2),
            ..with("1/2", vec![partition("dev.user", 0, 8, Some(7))])
        }),
    ]);
    let reading = judged(pipeline, State::Flowing, None);
    let topics = reading.topics.unwrap();
    let of = |name: &str| {
        let topic = topics.iter().find(|topic| topic.topic == name).unwrap();
        (topic.end, topic.applied, topic.to_go)
    };
    assert_eq!(of("user"), (Some(15), Some(12), Some(3)), "a marker is nothing to apply");
    assert_eq!(of("order"), (Some(0), Some(0), Some(0)));
    assert_eq!(of("post"), (Some(3), Some(0), Some(3)), "not come to yet");
    assert_eq!(of("product"), (None, None, None));
    assert_eq!(reading.dead_letters, Some(2));
}

#[test]
fn where_no_projector_ever_read_its_offset_is_unknown() {
    let unread = reporting(|report| report.partitions = vec![partition("user", 0, 9, None)]);
    let topics = Reading::of(unread, seconds_ago(0.0)).topics.unwrap();
    assert_eq!((topics[0].end, topics[0].applied, topics[0].to_go), (Some(9), None, None));
}

#[test]
fn what_cannot_be_counted_to_the_end_says_so() {
    let capped = |events| {
        let waiting = Some(Waiting { events, oldest: None });
        let outbox = Reading::of(Pipeline { waiting, ..healthy() }, seconds_ago(0.0)).outbox;
        outbox.unwrap().waiting_is_capped
    };
    assert!(capped(COUNTED) && !capped(COUNTED - 1));
}

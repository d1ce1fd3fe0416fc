use bson::Timestamp as ClusterTime;

use std::collections::BTreeMap;

use shared::watermark::{self, GroupReport, Obstacle, Partition};

use super::*;
use crate::store::{Pace, Waiting};

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
        group: Some(GroupReport {
            members: Some(1),
            absent_since: None,
            behind_since: None,
            moved_at: seconds_ago(1.0),
        }),
    }
}

fn pipeline(reports: Vec<Option<Watermark>>) -> Pipeline {
    let count = reports.len();
    let named = |(index, report)| (format!("{index}/{count}"), report);
    Pipeline {
        counts: Some(BTreeMap::from([("users", 3), ("outbox", 7), ("outbox_dead", 0)])),
        pace: Pace { newest: Some(seconds_ago(2.0)), events_per_second: 0.1 },
        waiting: Some(Waiting::default()),
        oldest_unapplied: None,
        watermarks: reports.into_iter().enumerate().map(named).collect(),
        rewound: None,
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

fn heard(report: &mut Watermark) -> &mut GroupReport {
    report.group.as_mut().unwrap()
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
    assert_eq!(reading.projector.lag_seconds, None);
    let unreported = pipeline(vec![Some(report("0/2")), None]);
    let unreported = Pipeline { waiting: None, ..unreported };
    let reading = judged(unreported, State::Unknown, Some(Hop::Relay));
    assert_eq!(reading.relay.shards.len(), 2);
}

/// All writes are refused then: nothing is worse.
#[test]
fn mongodb_away_is_stuck_and_all_else_is_unknown() {
    let away = Reading::without_mongodb(seconds_ago(0.0));
    assert_eq!((away.state, away.held_up_at), (State::Stuck, Some(Hop::Mongodb)));
    assert_eq!((away.mongodb, away.documents, away.outbox), (Answers::Away, None, None));
    let unknown = Reading::unknown(seconds_ago(0.0));
    assert_eq!((unknown.state, unknown.held_up_at), (State::Unknown, None), "a bug of the api");
}

#[test]
fn of_a_silent_relay_nothing_is_believed_but_what_waits() {
    let silent = reporting(|report| report.at = seconds_ago(20.5));
    let silent = Pipeline { waiting: waiting_for(15.0), ..silent };
    let reading = judged(silent, State::Stuck, Some(Hop::Relay));
    assert_eq!(reading.relay.state, RelayState::Silent);
    assert_eq!(reading.relay.lag_seconds, Some(15.0));
    assert_eq!(reading.projector, Projector::default());
    assert_eq!(reading.dead_letters, None, "that there were none is old news");
    let topics = reading.topics.unwrap();
    assert_eq!((topics[0].end, topics[0].to_go), (Some(9), None));
    let one_of_two = pipeline(vec![
        Some(report("0/2")),
        Some(Watermark { at: seconds_ago(30.0), ..report("1/2") }),
    ]);
    judged(one_of_two, State::Stuck, Some(Hop::Relay));
}

#[test]
fn the_projector_is_as_late_as_the_oldest_event_that_is_not_applied() {
    let behind = || {
        reporting(|report| {
            report.applied_through = Some(cluster(30));
            report.partitions = vec![partition("user", 0, 9, Some(8))];
            heard(report).behind_since = Some(seconds_ago(30.0));
        })
    };
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
    let reading = judged(pipeline, State::Refused, None);
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

#[test]
fn a_projector_that_does_not_run_is_never_in_time() {
    let absent = |seconds| {
        reporting(|report| {
            heard(report).members = Some(0);
            heard(report).absent_since = Some(seconds_ago(seconds));
        })
    };
    let reading = judged(absent(5.0), State::Stuck, Some(Hop::Projector));
    assert_eq!(reading.projector.state, Timeliness::Absent);
    assert_eq!(reading.projector.instances, Some(0));
    judged(absent(1.0), State::Flowing, None);
    // Nothing was ever written, and no projector ever ran.
    let empty = reporting(|report| {
        report.partitions = vec![partition("user", 0, 0, None)];
        heard(report).members = Some(0);
        heard(report).absent_since = Some(seconds_ago(60.0));
    });
    let pace = Pace { newest: None, events_per_second: 0.0 };
    judged(Pipeline { pace, ..empty }, State::Stuck, Some(Hop::Projector));
}

#[test]
fn a_projector_that_moves_nothing_is_stuck_and_one_that_is_slow_is_late() {
    let behind = |moved_ago| {
        let behind = reporting(|report| {
            report.applied_through = Some(cluster(60));
            report.partitions = vec![partition("user", 0, 9, Some(8))];
            heard(report).behind_since = Some(seconds_ago(60.0));
            heard(report).moved_at = seconds_ago(moved_ago);
        });
        Pipeline { oldest_unapplied: Some(seconds_ago(55.0)), ..behind }
    };
    let reading = judged(behind(40.0), State::Stuck, Some(Hop::Projector));
    assert_eq!(reading.projector.state, Timeliness::Stuck);
    assert_eq!(reading.projector.lag_seconds, Some(55.0));
    judged(behind(2.0), State::Late, Some(Hop::Projector));
    // A relay that began to lead while the projector was stuck does not know where it stands.
    let from_the_start = reporting(|report| {
        report.applied_through = None;
        heard(report).behind_since = Some(seconds_ago(25.0));
        heard(report).moved_at = seconds_ago(25.0);
    });
    let reading = judged(from_the_start, State::Stuck, Some(Hop::Projector));
    assert_eq!(reading.projector.lag_seconds, None);
}

/// The relay was away for a minute, and has just published what came meanwhile: the
/// projector has had it for two seconds.
#[test]
fn what_the_relay_brings_late_is_not_the_projectors_fault() {
    let just_published = reporting(|report| {
        report.applied_through = Some(cluster(70));
        report.partitions = vec![partition("user", 0, 9, Some(4))];
        heard(report).behind_since = Some(seconds_ago(2.0));
    });
    let just_published = Pipeline { oldest_unapplied: Some(seconds_ago(60.0)), ..just_published };
    let reading = judged(just_published, State::Flowing, None);
    assert_eq!(reading.projector.lag_seconds, Some(60.0), "it is that old all the same");
}

/// A relay that begins to lead reports a newer moment than the one that is proven to be
/// applied, although nothing happened between the two.
#[test]
fn an_idle_pipeline_is_not_late_after_a_restart_of_the_relay() {
    for oldest_unapplied in [None, Some(seconds_ago(3600.0))] {
        let restarted = reporting(|report| report.applied_through = Some(cluster(3600)));
        let pace = Pace { newest: Some(seconds_ago(3600.0)), events_per_second: 0.0 };
        let reading = judged(Pipeline { pace, oldest_unapplied, ..restarted }, State::Idle, None);
        assert_eq!(reading.projector.lag_seconds, Some(0.0));
    }
}

#[test]
fn kafka_is_named_where_the_relay_says_that_it_is_away() {
    let away = |server: &str, seconds| {
        let blocked = reporting(|report| {
            report.obstacle = Some(Obstacle {
                server: server.to_owned(),
                reason: "all brokers are down".to_owned(),
                since: seconds_ago(seconds),
            });
        });
        Pipeline { waiting: waiting_for(4.0), ..blocked }
    };
    let reading = judged(away("kafka", 4.0), State::Stuck, Some(Hop::Kafka));
    assert_eq!(reading.relay.state, RelayState::Blocked);
    assert_eq!(reading.relay.obstacle.unwrap().reason, "all brokers are down");
    assert_eq!((reading.projector, reading.dead_letters), (Projector::default(), None));
    judged(away("kafka", 1.0), State::Flowing, None);
    judged(away("something else", 4.0), State::Stuck, Some(Hop::Relay));
    // The relay itself is gone since: what it said last is not of now.
    let gone = reporting(|report| {
        report.at = seconds_ago(30.0);
        report.obstacle = Some(Obstacle {
            server: "kafka".to_owned(),
            reason: String::new(),
            since: seconds_ago(60.0),
        });
    });
    judged(gone, State::Stuck, Some(Hop::Relay));
}

#[test]
fn not_all_is_in_mysql_beside_what_was_refused() {
    let letters = reporting(|report| report.dead_letters = Some(2));
    judged(letters, State::Refused, None);
    let counts = Some(BTreeMap::from([("outbox_dead", 1)]));
    let pace = Pace { newest: None, events_per_second: 0.0 };
    judged(Pipeline { counts, pace, ..healthy() }, State::Refused, None);
    let late = reporting(|report| report.dead_letters = Some(2));
    let late = Pipeline { waiting: waiting_for(11.0), ..late };
    judged(late, State::Late, Some(Hop::Relay));
}

#[test]
fn lost_records_and_a_mongodb_that_went_back_are_said() {
    let lost = |report: &mut Watermark| {
        report.lost = vec![Loss {
            topic: "dev.post".to_owned(),
            partition: 3,
            from_offset: 7,
            to_offset: 27,
            after: None,
            through: cluster(2),
        }];
    };
    let reading = judged(reporting(lost), State::Damaged, None);
    let found = &reading.lost[0];
    assert_eq!((found.topic.as_str(), found.from_offset, found.to_offset), ("dev.post", 7, 27));

    let rewound = watermark::Rewound {
        id: watermark::REWOUND.to_owned(),
        noticed_at: seconds_ago(9.0),
        reason: "the lease counts 3, the checkpoint 7".to_owned(),
    };
    let rewound = Some(rewound);
    let reading = judged(Pipeline { rewound: rewound.clone(), ..healthy() }, State::Damaged, None);
    assert_eq!(reading.rewound.unwrap().noticed_at, seconds_ago(9.0));
    // Where nothing moves at all, that comes first; the rest is told beside it.
    let silent = reporting(|report| {
        lost(report);
        report.at = seconds_ago(30.0);
    });
    let reading = judged(Pipeline { rewound, ..silent }, State::Stuck, Some(Hop::Relay));
    assert!(reading.rewound.is_some() && !reading.lost.is_empty());
}

#[test]
fn what_was_not_counted_is_unknown_and_a_lower_bound_says_so() {
    let uncounted = Reading::of(Pipeline { counts: None, ..healthy() }, seconds_ago(0.0));
    assert_eq!(uncounted.documents, None);
    let outbox = uncounted.outbox.unwrap();
    assert_eq!((outbox.records, outbox.dead), (None, None));
    assert_eq!(uncounted.state, State::Flowing);
    let counts = Some(BTreeMap::from([("users", COUNTED_DOCUMENTS), ("posts", 5), ("outbox", 6)]));
    let reading = Reading::of(Pipeline { counts, ..healthy() }, seconds_ago(0.0));
    assert_eq!(reading.documents_capped, ["users"]);
    let documents = reading.documents.unwrap();
    assert_eq!((documents["posts"], documents.get("outbox")), (5, None));
    assert!(!reading.outbox.unwrap().records_are_capped);
}

//! What the relay has written into MongoDB of itself, of Kafka and of the projector: the
//! hops that stand still, and what is damaged.

use bson::{RawDocumentBuf, doc};
use futures::TryStreamExt as _;
use mongodb::Database;
use mongodb::error::Result;
use shared::watermark::{self, GroupReport, Rewound, Watermark};
use shared::{Shard, Timestamp};

/// An idle relay reports every 10 s. After twice that it is silent.
const SILENT_SECONDS: i64 = 20;
/// A projector that has applied nothing for so long, although something waits, is stuck.
const STUCK_SECONDS: i64 = 20;
/// A restart takes a moment.
const MOMENT_SECONDS: i64 = 3;

#[derive(Debug, Default)]
pub struct Hops {
    shards: Vec<Watermark>,
    rewound: Option<Rewound>,
}

pub async fn read(database: &Database) -> Result<Hops> {
    let collection = database.collection::<RawDocumentBuf>(watermark::COLLECTION);
    let stored: Vec<RawDocumentBuf> = collection.find(doc! {}).await?.try_collect().await?;
    let mut hops = Hops::default();
    for document in &stored {
        if Watermark::is_rewound(document) {
            hops.rewound = bson::deserialize_from_slice(document.as_bytes()).ok();
        } else if let Ok(watermark) = Watermark::parse(document) {
            hops.shards.push(watermark);
        }
    }
    Ok(hops)
}

impl Hops {
    /// What is wrong, a sentence each, by the clock of this machine.
    pub fn problems(&self, now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(rewound) = &self.rewound {
            problems.push(format!(
                "mongodb was put back to an earlier state ({}): run outboxctl verify --repair",
                rewound.reason
            ));
        }
        let shards = self.division();
        if shards.is_empty() {
            problems.push("relay: none has ever reported".to_owned());
        }
        problems.extend(shards.iter().flat_map(|watermark| of_shard(watermark, now)));
        let newest = shards.iter().max_by_key(|watermark| watermark.at);
        let current = newest.filter(|watermark| is_current(watermark, now));
        if let Some(group) = current.and_then(|watermark| watermark.group.as_ref()) {
            problems.extend(of_projector(group, now));
        }
        problems
    }

    /// The shards of the newest report's division: what a former one left says nothing of now.
    fn division(&self) -> Vec<&Watermark> {
        let count = |watermark: &Watermark| watermark.shard.parse().ok().map(Shard::count);
        let newest = self.shards.iter().max_by_key(|watermark| watermark.at);
        let newest = newest.and_then(count);
        let mut shards: Vec<_> =
            self.shards.iter().filter(|it| newest.is_some() && count(it) == newest).collect();
        shards.sort_by(|one, other| one.shard.cmp(&other.shard));
        shards
    }
}

fn is_current(watermark: &Watermark, now: Timestamp) -> bool {
    seconds(watermark.at, now) <= SILENT_SECONDS && watermark.obstacle.is_none()
}

fn of_shard(watermark: &Watermark, now: Timestamp) -> Vec<String> {
    let name = &watermark.shard;
    let mut problems = Vec::new();
    let silent = seconds(watermark.at, now);
    if silent > SILENT_SECONDS {
        problems.push(format!("relay {name}: has reported nothing for {silent} s"));
    } else if let Some(obstacle) = &watermark.obstacle {
        let (server, reason) = (&obstacle.server, &obstacle.reason);
        let since = seconds(obstacle.since, now);
        problems.push(format!("relay {name}: held up by {server} for {since} s: {reason}"));
    }
    for loss in &watermark.lost {
        problems.push(format!(
            "kafka: {}[{}] {} to {} were deleted before the projector had read them: \
             run outboxctl verify --repair",
            loss.topic,
            loss.partition,
            loss.from_offset,
            loss.to_offset - 1
        ));
    }
    problems
}

fn of_projector(group: &GroupReport, now: Timestamp) -> Option<String> {
    if let Some(since) = group.absent_since.filter(|at| seconds(*at, now) >= MOMENT_SECONDS) {
        let seconds = seconds(since, now);
        return Some(format!("projector: none is in its consumer group, for {seconds} s"));
    }
    let still = seconds(group.behind_since?.max(group.moved_at), now);
    (still > STUCK_SECONDS)
        .then(|| format!("projector: has applied nothing for {still} s, and events wait for it"))
}

fn seconds(since: Timestamp, now: Timestamp) -> i64 {
    (now.millis() - since.millis()).max(0) / 1000
}

#[cfg(test)]
mod tests {
    use bson::Timestamp as ClusterTime;
    use shared::watermark::{Loss, Obstacle};

    use super::*;

    fn at(seconds_ago: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 - seconds_ago * 1000).unwrap()
    }

    fn report(shard: &str) -> Watermark {
        Watermark {
            shard: shard.to_owned(),
            at: at(1),
            proven_at: Some(at(1)),
            published_through: ClusterTime { time: 9, increment: 1 },
            applied_through: None,
            partitions: Vec::new(),
            dead_letters: None,
            obstacle: None,
            lost: Vec::new(),
            group: Some(GroupReport {
                members: Some(1),
                absent_since: None,
                behind_since: None,
                moved_at: at(90),
            }),
        }
    }

    fn problems(change: impl FnOnce(&mut Watermark)) -> Vec<String> {
        let mut report = report("0/1");
        change(&mut report);
        Hops { shards: vec![report], rewound: None }.problems(at(0))
    }

    #[track_caller]
    fn names(problems: &[String], words: &[&str]) {
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(words.iter().all(|word| problems[0].contains(word)), "{problems:?}");
    }

    #[test]
    fn a_pipeline_that_is_well_has_none() {
        assert_eq!(problems(|_| {}), [""; 0]);
        names(&Hops::default().problems(at(0)), &["relay", "none has ever reported"]);
    }

    #[test]
    fn the_hop_and_the_server_are_named() {
        let obstacle = |report: &mut Watermark| {
            report.obstacle = Some(Obstacle {
                server: "kafka".to_owned(),
                reason: "no broker answers".to_owned(),
                since: at(12),
            });
        };
        names(&problems(obstacle), &["relay 0/1", "kafka for 12 s", "no broker answers"]);
        let silent = |report: &mut Watermark| {
            obstacle(report);
            report.at = at(30);
        };
        names(&problems(silent), &["relay 0/1", "nothing for 30 s"]);
        let absent = |report: &mut Watermark| {
            report.group.as_mut().unwrap().absent_since = Some(at(45));
        };
        names(&problems(absent), &["projector", "none", "45 s"]);
        let stuck = |report: &mut Watermark| {
            report.group.as_mut().unwrap().behind_since = Some(at(25));
        };
        names(&problems(stuck), &["projector", "nothing for 25 s"]);
        let slow = |report: &mut Watermark| {
            let group = report.group.as_mut().unwrap();
            (group.behind_since, group.moved_at) = (Some(at(25)), at(2));
        };
        assert_eq!(problems(slow), [""; 0]);
    }

    #[test]
    fn what_is_damaged_is_named_with_its_remedy() {
        let lost = |report: &mut Watermark| {
            report.lost.push(Loss {
                topic: "post".to_owned(),
                partition: 3,
                from_offset: 7,
                to_offset: 27,
                after: None,
                through: ClusterTime { time: 9, increment: 1 },
            });
        };
        names(&problems(lost), &["post[3] 7 to 26", "verify --repair"]);
        let rewound = Rewound {
            id: watermark::REWOUND.to_owned(),
            noticed_at: at(5),
            reason: "the lease counts 3, the checkpoint 7".to_owned(),
        };
        let hops = Hops { shards: vec![report("0/1")], rewound: Some(rewound) };
        names(&hops.problems(at(0)), &["mongodb", "checkpoint 7", "verify --repair"]);
    }

    #[test]
    fn a_former_division_says_nothing_of_now() {
        let former = Watermark { at: at(500), ..report("0/1") };
        let shards = vec![former, report("0/2"), report("1/2")];
        assert_eq!(Hops { shards, rewound: None }.problems(at(0)), [""; 0]);
    }
}

//! The watermark on real servers. The projector's part is played by committed offsets
//! alone: they are all that the relay sees of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{RawDocumentBuf, Timestamp as ClusterTime, doc};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::event::partition_of;
use shared::watermark::{COLLECTION, Watermark};

use crate::fixture::{Pipeline, history, until};
use crate::process::Process;
use crate::reader::{consumer_with, places};

impl Pipeline {
    fn launch_for_group(&self) -> Process {
        let mut settings = self.settings();
        settings.insert("KAFKA_GROUP_ID".to_owned(), self.name.clone());
        Process::launch(&settings)
    }

    async fn watermark(&self) -> Option<Watermark> {
        let collection = self.database.collection::<RawDocumentBuf>(COLLECTION);
        let stored = collection.find_one(doc! { "_id": "0/1" }).await.unwrap();
        stored.map(|stored| Watermark::parse(&stored).unwrap())
    }

    /// MongoDB's clock: all that was written before carries an earlier time.
    async fn now(&self) -> ClusterTime {
        let reply = self.database.run_command(doc! { "ping": 1 }).await.unwrap();
        reply.get_timestamp("operationTime").unwrap()
    }

    async fn until_watermark(&self, what: &str, holds: impl Fn(&Watermark) -> bool) -> Watermark {
        until(what, async || self.watermark().await.as_ref().is_some_and(&holds)).await;
        self.watermark().await.unwrap()
    }

    /// As the projector does after it has applied the records before these offsets.
    async fn commit(&self, ends: &BTreeMap<(String, i32), i64>) {
        self.commit_with(ends, "").await;
    }

    async fn commit_with(&self, ends: &BTreeMap<(String, i32), i64>, metadata: &'static str) {
        let consumer = consumer_with(&self.kafka, &[("group.id", &self.name)]);
        let ends = ends.clone();
        let committing = tokio::task::spawn_blocking(move || {
            let mut offsets = TopicPartitionList::new();
            for ((topic, partition), end) in &ends {
                let mut element = offsets.add_partition(topic, *partition);
                element.set_offset(Offset::Offset(*end)).unwrap();
                element.set_metadata(metadata);
            }
            consumer.commit(&offsets, CommitMode::Sync).unwrap();
        });
        committing.await.unwrap();
    }

    /// The offset after the last record of each partition that has one.
    async fn ends(&self) -> BTreeMap<(String, i32), i64> {
        let mut ends = BTreeMap::new();
        for (topic, partition, offset, _) in places(self).await {
            ends.insert((topic, partition), offset + 1);
        }
        ends
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_how_far_it_is_and_the_projector_behind_it() {
    let pipeline = Pipeline::new("watermark").await;
    let relay = pipeline.launch_for_group();
    relay.await_leading().await;
    let written = history(60, 3);
    pipeline.write(&written).await;
    let through = pipeline.now().await;
    let published =
        pipeline.until_watermark("published", |it| it.published_through >= through).await;
    assert!(published.proven_at.is_some());
    assert_eq!(published.applied_through, None, "nobody has committed anything");
    assert_eq!(published.partitions.len(), 5 * 3);

    let ends = pipeline.ends().await;
    for place in &published.partitions {
        let end = ends.get(&(place.topic.clone(), place.partition)).copied();
        assert_eq!(place.end, end.unwrap_or(0), "{place:?}: markers do not count");
    }
    for (topic, partition, _, key) in places(&pipeline).await {
        let expected = partition_of(&key, 3).unwrap();
        assert_eq!(u32::try_from(partition).unwrap(), expected, "{key} in {topic}");
    }

    // All but one record, then that one, too.
    let (last, end) = ends.last_key_value().unwrap();
    let mut but_one = ends.clone();
    but_one.insert(last.clone(), end - 1);
    pipeline.commit(&but_one).await;
    let all_but_one = |it: &Watermark| {
        let committed = it.partitions.iter().filter(|place| place.applied.is_some());
        committed.count() == ends.len()
    };
    let seen = pipeline.until_watermark("the offsets are seen", all_but_one).await;
    assert_eq!(seen.applied_through, None, "one record is not applied");
    pipeline.commit(&ends).await;
    let applied = |it: &Watermark| it.applied_through.is_some_and(|applied| applied >= through);
    pipeline.until_watermark("applied", applied).await;
    relay.kill();

    // A new relay has sent nothing itself, and finds what is behind the markers all the
    // same. What was applied stays so.
    let relay = pipeline.launch_for_group();
    let later = pipeline.now().await;
    let again = |it: &Watermark| it.applied_through.is_some_and(|applied| applied >= later);
    let seen = pipeline.until_watermark("applied, by another relay", again).await;
    assert!(seen.partitions.iter().all(|place| place.behind() == Some(0)), "{seen:?}");
    pipeline.write(&history(1, 1)).await;
    let newest = pipeline.now().await;
    let ahead = pipeline.until_watermark("published", |it| it.published_through >= newest).await;
    let applied = ahead.applied_through.unwrap();
    assert!(later <= applied && applied < newest, "{ahead:?}");
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    pipeline.drop().await;
}

/// The projector says with its offsets what was deleted before it could read it: between what
/// it had applied before and what was committed by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_projector_never_read_is_kept() {
    let pipeline = Pipeline::new("lost").await;
    let relay = pipeline.launch_for_group();
    relay.await_leading().await;
    pipeline.write(&history(60, 3)).await;
    let first = pipeline.now().await;
    pipeline.until_watermark("published", |it| it.published_through >= first).await;
    pipeline.commit(&pipeline.ends().await).await;
    let applied = |it: &Watermark| it.applied_through.is_some_and(|applied| applied >= first);
    let before = pipeline.until_watermark("applied", applied).await;

    pipeline.write(&history(60, 1)).await;
    let second = pipeline.now().await;
    pipeline.until_watermark("published", |it| it.published_through >= second).await;
    let ends = pipeline.ends().await;
    let (place, end) = ends.first_key_value().unwrap();
    let one = [(place.clone(), *end)].into();
    let mut others = ends.clone();
    others.remove(place);
    pipeline.commit_with(&one, "lost=3-4,1-2").await;
    pipeline.commit(&others).await;
    let seen = pipeline.until_watermark("it is kept", |it| it.lost.len() == 2).await;
    for loss in &seen.lost {
        assert_eq!((&loss.topic, loss.partition), (&place.0, place.1));
        assert_eq!(loss.after, before.applied_through, "{loss:?}");
        assert!(loss.through >= second, "{loss:?}");
    }
    assert_eq!((seen.lost[0].from_offset, seen.lost[0].to_offset), (3, 4));

    // The same again, of another relay.
    assert!(relay.terminate(Duration::from_secs(10)).await.success());
    let relay = pipeline.launch_for_group();
    pipeline.write(&history(5, 1)).await;
    let third = pipeline.now().await;
    let again = pipeline.until_watermark("published", |it| it.published_through >= third).await;
    assert_eq!(again.lost, seen.lost);
    relay.kill();
    pipeline.drop().await;
}

/// One that was fenced while it slept has nothing to say; and what is said of another
/// state of the database is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_watermark_replaces_no_newer_one() {
    let pipeline = Pipeline::new("fenced").await;
    let far = Watermark {
        shard: "0/1".to_owned(),
        at: shared::Timestamp::now(),
        proven_at: None,
        published_through: ClusterTime { time: u32::MAX, increment: 1 },
        applied_through: Some(ClusterTime { time: u32::MAX, increment: 1 }),
        partitions: Vec::new(),
        dead_letters: None,
        obstacle: None,
        lost: Vec::new(),
        group: None,
    };
    let watermarks = pipeline.database.collection(COLLECTION);
    watermarks.insert_one(far.to_bson().unwrap()).await.unwrap();
    let relay = pipeline.launch_for_group();
    let own = |it: &Watermark| it.published_through < far.published_through;
    let own = pipeline.until_watermark("a first start begins anew", own).await;
    assert_eq!(own.applied_through.map(|it| it < far.published_through), Some(true));

    let id = doc! { "_id": "0/1" };
    watermarks.replace_one(id, far.to_bson().unwrap()).await.unwrap();
    let written = history(5, 1);
    pipeline.write(&written).await;
    pipeline.await_events(written.len()).await;
    until("it has tried", async || relay.log().contains("a newer watermark is there")).await;
    assert_eq!(pipeline.watermark().await.unwrap().partitions, [], "untouched");
    relay.kill();
    pipeline.drop().await;
}

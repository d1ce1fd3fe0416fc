use std::collections::BTreeMap;

use shared::event::Domain;
use shared::watermark::{Partition, Watermark};

use super::reports;
use crate::status::reading::Topic;
use crate::store::Division;

/// The five topics; each shard speaks of all partitions, and the furthest is the newest.
/// What is reported stays true as a lower bound; what is left to do is known only where
/// the report `is_current`.
pub fn topics(division: &Division, is_current: bool) -> Option<Vec<Topic>> {
    let reports: Vec<&Watermark> = reports(division).collect();
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
        let to_go = end.zip(applied).map(|(end, applied)| end - applied).filter(|_| is_current);
        Topic { topic: domain.topic(), end, applied, to_go }
    };
    Some(Domain::ALL.into_iter().map(topic).collect())
}

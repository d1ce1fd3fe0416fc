//! The loop that forms groups, commits them, and takes apart those that fail.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

use super::admit::{Held, Hold, Limits, Resource, Waiting, admit};
use super::queue::Queued;
use super::{CommitError, GroupLimits, Outcome};
use crate::metrics::Metrics;
use crate::store::timed;
use crate::store::transaction::Transactions;

/// What a group needs to be committed.
#[derive(Clone)]
pub struct Crew {
    pub transactions: Transactions,
    /// How long a write may take, its wait included.
    pub time: Duration,
    pub metrics: Metrics,
}

/// Forms groups and settles them until the queue is closed and empty.
///
/// MongoDB comes first: a group is on its way before those of the last one are told. Each of
/// them has an answer to write and perhaps a next request, and would take its turn before it.
/// For the same reason the groups are no tasks of their own.
pub async fn run(crew: Crew, limits: GroupLimits, mut arriving: mpsc::Receiver<Queued>) {
    let group_limits = Limits { writes: limits.writes, bytes: limits.bytes };
    let mut waiting = VecDeque::new();
    let mut held = Held::default();
    let mut in_flight = FuturesUnordered::new();
    let mut committed = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() || !in_flight.is_empty() {
        tokio::select! {
            biased;
            Some(settled) = in_flight.next(), if !in_flight.is_empty() => {
                committed = release(&mut held, &mut waiting, settled);
            }
            // What cannot go yet stays in the channel, which is bounded.
            arrived = arriving.recv(), if open && waiting.len() < limits.writes => {
                open = arrived.is_some();
                waiting.extend(arrived);
            }
            else => {}
        }
        while waiting.len() < 2 * limits.writes {
            let Ok(arrived) = arriving.try_recv() else {
                break;
            };
            waiting.push_back(arrived);
        }
        while may_begin(in_flight.len(), waiting.len(), limits) {
            let group = admit(&mut waiting, &mut held, group_limits);
            if group.is_empty() {
                break;
            }
            in_flight.push(AssertUnwindSafe(crew.clone().settle(group)).catch_unwind());
        }
        for queued in committed.drain(..) {
            queued.answer(Ok(()));
        }
    }
}

/// Whether another transaction may begin. Waiting is for company: who is enough for half a
/// group gains little by more of it, and goes beside what is in flight.
fn may_begin(in_flight: usize, waiting: usize, limits: GroupLimits) -> bool {
    in_flight == 0 || (in_flight < limits.in_flight && waiting >= limits.writes.div_ceil(2))
}

type Resources = Vec<(Resource, Hold)>;

/// What a group leaves behind.
struct Settled {
    held: Resources,
    /// What its committed writes have changed or claimed.
    changed: Resources,
    /// Not told yet.
    committed: Vec<Queued>,
}

/// What a panicked group leaves behind.
type Panicked = Box<dyn Any + Send>;

fn release(
    held: &mut Held,
    waiting: &mut VecDeque<Queued>,
    settled: Result<Settled, Panicked>,
) -> Vec<Queued> {
    match settled {
        Ok(settled) => {
            held.release(&settled.held);
            refuse_the_doomed(waiting, settled.changed);
            settled.committed
        }
        // It cannot be known what a panicked group held. Nobody is in flight for long:
        // beginning anew at worst costs a group a retry.
        Err(_) => {
            tracing::error!("a commit group panicked");
            *held = Held::default();
            Vec::new()
        }
    }
}

/// Who waited for what has just been committed was made from what is no longer there.
/// To be told so at once spares a transaction each; whoever is told so wrongly (it read
/// the commit before we heard of it) only makes its write again.
fn refuse_the_doomed(waiting: &mut VecDeque<Queued>, changed: Resources) {
    if waiting.is_empty() {
        return;
    }
    let changed: HashMap<Resource, Hold> = changed.into_iter().collect();
    let (doomed, rest): (Vec<_>, Vec<_>) = std::mem::take(waiting)
        .into_iter()
        .map(|queued| (doom(queued.resources(), &changed), queued))
        .partition(|(doom, _)| doom.is_some());
    waiting.extend(rest.into_iter().map(|(_, queued)| queued));
    for (doom, queued) in doomed {
        if let (Some(error), true) = (doom, queued.progress.take()) {
            queued.answer(Err(error));
        }
    }
}

fn doom(wanted: &[(Resource, Hold)], changed: &HashMap<Resource, Hold>) -> Option<CommitError> {
    wanted.iter().find_map(|(resource, hold)| match (changed.get(resource)?, hold) {
        (Hold::Shared, Hold::Shared) => None,
        _ => Some(match resource {
            Resource::Unique(constraint, _) => CommitError::Duplicate(*constraint),
            Resource::Document(..) | Resource::ProductList(_) => CommitError::Stale,
        }),
    })
}

impl Crew {
    /// Gives each write of the group its outcome.
    async fn settle(self, group: Vec<Queued>) -> Settled {
        let held = group.iter().flat_map(|queued| queued.resources().to_vec()).collect();
        let group: Vec<Queued> =
            group.into_iter().filter(|queued| queued.progress.take()).collect();
        for queued in &group {
            self.metrics.commit_queue_wait_seconds.observe(queued.since.elapsed().as_secs_f64());
        }
        let group = self.with_time_left(group);
        if group.is_empty() {
            return Settled { held, changed: Vec::new(), committed: Vec::new() };
        }
        self.metrics.commit_group_size.observe(group.len() as f64);
        let (changed, committed) = self.commit(group).await;
        Settled { held, changed, committed }
    }

    /// Refuses those whose time is almost up: begun now, they could be committed after
    /// their clients were told that they were not.
    fn with_time_left(&self, group: Vec<Queued>) -> Vec<Queued> {
        let (late, timely): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|queued| queued.since.elapsed() > self.time * 9 / 10);
        for queued in late {
            queued.answer(Err(CommitError::Unavailable { outcome_unknown: false, source: None }));
        }
        timely
    }

    /// All together; where that fails for somebody's fault, without the guilty; where
    /// nobody is found guilty, in halves. Returns what was changed, and those who were
    /// committed last and are not told yet.
    async fn commit(&self, group: Vec<Queued>) -> (Resources, Vec<Queued>) {
        let mut changed = Vec::new();
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            match (self.attempt(&group).await, group.len()) {
                (Ok(()), _) => {
                    for queued in &group {
                        changed.extend_from_slice(queued.resources());
                    }
                    if groups.is_empty() {
                        return (changed, group);
                    }
                    for queued in group {
                        queued.answer(Ok(()));
                    }
                }
                (Err(CommitError::Unavailable { outcome_unknown, source }), _) => {
                    for queued in group {
                        let source = source.clone();
                        queued.answer(Err(CommitError::Unavailable { outcome_unknown, source }));
                    }
                }
                (Err(error), 0 | 1) => {
                    if let Some(queued) = group.pop() {
                        queued.answer(Err(error));
                    }
                }
                (Err(error), members) => {
                    self.metrics.commit_regroups.with_label_values(&[error.reason()]).inc();
                    let mut innocent = self.without_the_guilty(group).await;
                    if innocent.len() == members {
                        groups.push(innocent.split_off(members / 2));
                    }
                    if !innocent.is_empty() {
                        groups.push(innocent);
                    }
                }
            }
        }
        (changed, Vec::new())
    }

    async fn attempt(&self, group: &[Queued]) -> Outcome {
        let writes: Vec<_> = group.iter().map(|queued| queued.write.clone()).collect();
        let waited = group.iter().map(|queued| queued.since.elapsed()).max();
        let left = self.time.saturating_sub(waited.unwrap_or_default());
        let _timer = self.metrics.commit_seconds.start_timer();
        self.transactions.commit(&writes, left).await
    }

    async fn without_the_guilty(&self, group: Vec<Queued>) -> Vec<Queued> {
        let writes: Vec<_> = group.iter().map(|queued| queued.write.clone()).collect();
        // Where MongoDB is gone by now, the next attempt says so.
        let Ok(verdicts) = timed(self.time, self.transactions.blame(&writes)).await else {
            return group;
        };
        let mut innocent = Vec::new();
        for (queued, verdict) in group.into_iter().zip(verdicts) {
            match verdict {
                Some(error) => queued.answer(Err(error)),
                None => innocent.push(queued),
            }
        }
        innocent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Constraint;
    use shared::Id;
    use shared::event::Domain;

    #[test]
    fn only_half_a_group_or_more_goes_beside_another() {
        let limits = GroupLimits { writes: 64, bytes: 1, queue: 1, queue_bytes: 1, in_flight: 2 };
        assert!(may_begin(0, 1, limits), "nobody waits when nothing is in flight");
        assert!(!may_begin(1, 31, limits));
        assert!(may_begin(1, 32, limits));
        assert!(!may_begin(2, 128, limits));
    }

    #[test]
    fn what_was_committed_dooms_those_who_wanted_the_same() {
        let (post, supplier) = (Id::new(), Id::new());
        let document = Resource::Document(Domain::Post, post);
        let email = Resource::Unique(Constraint::UserEmail, "a".to_owned());
        let list = Resource::ProductList(supplier);
        let changed = HashMap::from([
            (document.clone(), Hold::Exclusive),
            (email.clone(), Hold::Exclusive),
            (list.clone(), Hold::Shared),
        ]);
        let doom = |resource: Resource, hold| doom(&[(resource, hold)], &changed);
        assert!(matches!(doom(document, Hold::Exclusive), Some(CommitError::Stale)));
        let taken = doom(email, Hold::Exclusive);
        assert!(matches!(taken, Some(CommitError::Duplicate(Constraint::UserEmail))), "{taken:?}");
        assert!(doom(list.clone(), Hold::Shared).is_none(), "products are added side by side");
        assert!(matches!(doom(list, Hold::Exclusive), Some(CommitError::Stale)));
        let other = Resource::Document(Domain::Post, Id::new());
        assert!(doom(other, Hold::Exclusive).is_none());
    }
}

//! Into how many shards the outbox is divided, and how that changes safely.
//!
//! Each shard's checkpoints speak of its own entities only. Under another number of
//! shards an entity falls on another one, so its events could be published twice or
//! never, unless all old shards stopped at a point after which nothing was written.
//! The checkpoints tell whether they did.

use shared::Shard;

use crate::checkpoint::{Checkpoint, Progress};
use crate::position::Position;

/// What the checkpoints in the topic mean for a shard that starts.
#[derive(Debug, PartialEq)]
pub enum Heritage {
    /// Its own checkpoint, of the division that holds now.
    Own(Box<Checkpoint>),
    /// Nothing was ever published, or only by its siblings.
    None,
    /// Another division came before. All its shards stopped cleanly between `from` and
    /// `until`; nothing may have been written in between.
    Former { from: Box<Checkpoint>, until: Position },
    /// Another division came before, and is not at its end.
    Unfinished(String),
}

/// `checkpoints` holds the newest of each shard of each division. Pure.
///
/// Divisions are numbered: each shard that starts a new one counts on from the one
/// before, so that no clock decides which is the newest.
pub fn heritage(shard: Shard, checkpoints: &[Checkpoint]) -> Heritage {
    let Some(newest) = checkpoints.iter().map(|found| found.division).max() else {
        return Heritage::None;
    };
    let own = |found: &&Checkpoint| found.shard == shard.to_string() && found.division == newest;
    if let Some(own) = checkpoints.iter().find(own) {
        return Heritage::Own(Box::new(own.clone()));
    }
    let count = division_count(checkpoints, newest);
    // A sibling was quicker: what came before it came before this shard too.
    let former = if count == Some(shard.count()) { newest.checked_sub(1) } else { Some(newest) };
    former.map_or(Heritage::None, |division| ended(checkpoints, division))
}

fn division_count(checkpoints: &[Checkpoint], division: u64) -> Option<u32> {
    let member = checkpoints.iter().find(|found| found.division == division)?;
    member.shard.parse().ok().map(Shard::count)
}

fn ended(checkpoints: &[Checkpoint], division: u64) -> Heritage {
    let Some(count) = division_count(checkpoints, division) else {
        return Heritage::Unfinished(format!("division {division} left nothing"));
    };
    let mut stopped = Vec::new();
    for index in 0..count {
        let name = format!("{index}/{count}");
        let member = |found: &&Checkpoint| found.shard == name && found.division == division;
        match checkpoints.iter().find(member).map(|found| (found, &found.progress)) {
            Some((found, Progress::At(position))) if found.drained => {
                stopped.push((found, position))
            }
            _ => {
                return Heritage::Unfinished(format!(
                    "shard {name} was not drained before it stopped"
                ));
            }
        }
    }
    stopped.sort_by_key(|(_, position)| position.time);
    match (stopped.first(), stopped.last()) {
        (Some((from, _)), Some((_, until))) => {
            Heritage::Former { from: Box::new((*from).clone()), until: (*until).clone() }
        }
        _ => Heritage::None,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use shared::Timestamp;

    use super::*;
    use crate::checkpoint::{Counters, Source};

    fn at(seconds: u32) -> Position {
        Position::of(doc! { "_data": format!("82{seconds:08X}00000001") }).unwrap()
    }

    fn checkpoint(shard: &str, division: u64, seconds: u32, drained: bool) -> Checkpoint {
        Checkpoint {
            shard: shard.to_owned(),
            division,
            drained,
            source: Source { database: "shop".to_owned(), outbox: bson::Uuid::from_bytes([7; 16]) },
            progress: Progress::At(at(seconds)),
            proven_at: None,
            written_at: Timestamp::from_millis(0).unwrap(),
            counters: Counters::default(),
            ends: None,
            renewals: None,
        }
    }

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn goes_on_from_its_own_checkpoint() {
        assert_eq!(heritage(Shard::WHOLE, &[]), Heritage::None);
        let own = checkpoint("1/2", 0, 50, false);
        let known = [checkpoint("0/2", 0, 40, false), own.clone()];
        assert_eq!(heritage(shard("1/2"), &known), Heritage::Own(Box::new(own)));
    }

    #[test]
    fn a_sibling_that_was_quicker_changes_nothing() {
        let known = [checkpoint("0/2", 0, 40, false)];
        assert_eq!(heritage(shard("1/2"), &known), Heritage::None);
        let known = [checkpoint("0/1", 0, 40, true), checkpoint("0/2", 1, 60, false)];
        let Heritage::Former { from, until } = heritage(shard("1/2"), &known) else {
            panic!("{known:?}");
        };
        assert_eq!((from.shard.as_str(), until), ("0/1", at(40)));
    }

    #[test]
    fn another_division_must_have_been_drained_by_all() {
        let stopped = [checkpoint("0/2", 0, 40, true), checkpoint("1/2", 0, 30, true)];
        let Heritage::Former { from, until } = heritage(shard("2/3"), &stopped) else {
            panic!("{stopped:?}");
        };
        assert_eq!((from.shard.as_str(), until), ("1/2", at(40)), "first and last to stop");
        let running = [checkpoint("0/2", 0, 40, true), checkpoint("1/2", 0, 30, false)];
        assert!(matches!(heritage(shard("2/3"), &running), Heritage::Unfinished(_)));
        assert!(matches!(heritage(shard("0/3"), &stopped[..1]), Heritage::Unfinished(_)));
    }

    #[test]
    fn a_checkpoint_of_an_earlier_time_under_the_same_name_is_not_its_own() {
        let known = [
            checkpoint("2/3", 0, 20, true),
            checkpoint("0/2", 1, 90, true),
            checkpoint("1/2", 1, 91, true),
        ];
        let Heritage::Former { from, .. } = heritage(shard("2/3"), &known) else {
            panic!("{known:?}");
        };
        assert_eq!(from.shard, "0/2");
    }
}

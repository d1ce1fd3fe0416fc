//! What is done to whom, when and for how long: pure, and decided by the seed alone.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::fault::{Deed, Drift, Fault, Halt, Hindrance, Incident, Runner, Setback, What};

/// What a run draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deck {
    /// Each combination of a deed and its subject, and the setbacks in between.
    Full,
    /// A few that are over quickly.
    Cheap,
}

/// A setback takes half a minute with all that it asks for, so there is one in each
/// minute and a half, and each once at most.
const A_SETBACK_EACH: Duration = Duration::from_secs(90);

/// All incidents of a run, as if none took time to be done and undone: a run comes as
/// far as its time allows.
pub fn draw(seed: u64, whole: Duration, deck: Deck) -> Vec<Incident> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut setbacks = setbacks(&mut rng, whole, deck);
    let (mut incidents, mut cards, mut at) = (Vec::new(), Vec::new(), Duration::ZERO);
    while at < whole {
        let pause = pause(&mut rng);
        let what = match setbacks.pop_if(|(due, _)| *due <= at) {
            Some((_, setback)) => What::Setback(setback, millis(&mut rng, 3_000, 6_000)),
            None => What::Faults(deal(&mut rng, &mut cards, deck)),
        };
        at += pause + what.lasts();
        incidents.push(Incident { pause, what });
    }
    incidents
}

impl What {
    fn lasts(&self) -> Duration {
        match self {
            Self::Faults(faults) => {
                faults.iter().map(|fault| fault.lasts).max().unwrap_or_default()
            }
            Self::Setback(_, after) => *after,
        }
    }
}

/// Each combination once before any comes again, so that a run leaves none out.
fn deal(rng: &mut StdRng, cards: &mut Vec<Deed>, deck: Deck) -> Vec<Fault> {
    if cards.is_empty() {
        *cards = match deck {
            Deck::Full => Deed::all(),
            Deck::Cheap => cheap(),
        };
        cards.shuffle(rng);
    }
    let first = cards.pop().unwrap_or(Deed::Expel);
    // What takes long leaves time for another.
    let is_long = matches!(first, Deed::Halt(Halt::LongFreeze, _));
    let company = rng.random_bool(if is_long { 0.6 } else { 0.35 });
    let other = if company { cards.iter().rposition(|card| card.goes_with(first)) } else { None };
    let second = other.map(|place| cards.remove(place));
    let deeds = [Some(first), second].into_iter().flatten();
    deeds.map(|deed| Fault { deed, lasts: lasts(rng, deed) }).collect()
}

fn lasts(rng: &mut StdRng, deed: Deed) -> Duration {
    match deed {
        // Longer than a lease and a request.
        Deed::Halt(Halt::Freeze, _) => millis(rng, 100, 8_000),
        // A session lasts 10 s, a transaction 20 s.
        Deed::Halt(Halt::LongFreeze, _) if rng.random_bool(0.25) => millis(rng, 20_500, 23_000),
        Deed::Halt(Halt::LongFreeze, _) => millis(rng, 10_500, 13_000),
        Deed::Halt(Halt::Kill | Halt::Restart, _) => millis(rng, 100, 2_500),
        Deed::Interrupt(super::fault::Interruption::Cut, _) => millis(rng, 100, 4_000),
        Deed::Interrupt(super::fault::Interruption::Silence, _) => millis(rng, 100, 8_000),
        Deed::Expel => Duration::ZERO,
        // A statement waits 10 s for a lock.
        Deed::Hinder(Hindrance::LockedTable) => millis(rng, 11_000, 14_000),
        // Events that it hits must come.
        Deed::Drift(_) | Deed::Hinder(_) => millis(rng, 1_500, 5_000),
    }
}

/// The last comes first. Deleted records are the only loss that is not made good, and a
/// relay that looks through the topics after a restore would publish them again: so no
/// restore of MongoDB comes after them.
fn setbacks(rng: &mut StdRng, whole: Duration, deck: Deck) -> Vec<(Duration, Setback)> {
    let mut drawn = Setback::ALL;
    drawn.shuffle(rng);
    let room = match deck {
        Deck::Full => whole.as_secs() / A_SETBACK_EACH.as_secs(),
        Deck::Cheap => 0,
    };
    let count = drawn.len().min(usize::try_from(room).unwrap_or_default());
    let mut drawn = drawn[..count].to_vec();
    drawn.sort_by_key(|setback| *setback == Setback::RecordsDeleted);
    let share = whole / u32::try_from(count + 1).unwrap_or(1);
    let due = std::iter::successors(Some(share), |due| Some(*due + share));
    let mut setbacks: Vec<_> = due.zip(drawn).collect();
    setbacks.reverse();
    setbacks
}

fn cheap() -> Vec<Deed> {
    let kills = Runner::ALL.into_iter().filter(|runner| !matches!(runner, Runner::Server(_)));
    kills
        .map(|runner| Deed::Halt(Halt::Kill, runner))
        .chain([
            Deed::Expel,
            Deed::Drift(Drift::AddedNotNullColumn),
            Deed::Drift(Drift::AddedCheck),
            Deed::Hinder(Hindrance::RevokedInsert),
            Deed::Hinder(Hindrance::ReadOnly),
        ])
        .collect()
}

/// One in three hits what has not yet recovered.
fn pause(rng: &mut StdRng) -> Duration {
    if rng.random_bool(0.33) { millis(rng, 100, 1_500) } else { millis(rng, 2_000, 6_000) }
}

fn millis(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=to))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn faults(incidents: &[Incident]) -> Vec<&[Fault]> {
        incidents
            .iter()
            .filter_map(|incident| match &incident.what {
                What::Faults(faults) => Some(faults.as_slice()),
                What::Setback(..) => None,
            })
            .collect()
    }

    #[test]
    fn a_seed_means_one_schedule_and_another_seed_another() {
        assert_eq!(draw(7, LONG, Deck::Full), draw(7, LONG, Deck::Full));
        assert_ne!(draw(7, LONG, Deck::Full), draw(8, LONG, Deck::Full));
    }

    #[test]
    fn a_long_run_meets_every_combination_singly_and_in_pairs() {
        for seed in 1..20 {
            let incidents = draw(seed, LONG, Deck::Full);
            let faults = faults(&incidents);
            let met: BTreeSet<_> =
                faults.iter().flat_map(|it| it.iter()).map(|it| it.deed).collect();
            assert_eq!(met, Deed::all().into_iter().collect(), "seed {seed}");
            let pairs = faults.iter().filter(|faults| faults.len() == 2).count();
            assert!((faults.len() / 6..faults.len() / 2 + 5).contains(&pairs), "{pairs}");
            assert!(faults.iter().all(|faults| match faults {
                [_] => true,
                [first, second] => first.deed.goes_with(second.deed),
                _ => false,
            }));
        }
    }

    #[test]
    fn a_long_run_meets_every_setback_once_and_deletes_records_last() {
        for seed in 1..20 {
            let incidents = draw(seed, LONG, Deck::Full);
            let setbacks = incidents.iter().filter_map(|incident| match incident.what {
                What::Setback(setback, _) => Some(setback),
                What::Faults(_) => None,
            });
            let met: Vec<_> = setbacks.collect();
            assert_eq!(met.iter().collect::<BTreeSet<_>>(), Setback::ALL.iter().collect());
            assert_eq!((met.len(), met.last()), (4, Some(&Setback::RecordsDeleted)));
        }
    }
}

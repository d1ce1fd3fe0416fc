//! What is done to whom, when and for how long: pure, and decided by the seed alone.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::fault::{Fault, Incident, Kind, Link, Target};

/// All incidents of a run, as if none took time to be done and undone: a run comes as
/// far as its time allows.
pub fn draw(seed: u64, whole: Duration) -> Vec<Incident> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut incidents, mut deck, mut at) = (Vec::new(), Vec::new(), Duration::ZERO);
    while at < whole {
        let pause = pause(&mut rng);
        let first = deal(&mut rng, &mut deck);
        let second = rng.random_bool(0.35).then(|| deal(&mut rng, &mut deck));
        let second = second.filter(|second| second.target != first.target);
        let faults: Vec<Fault> = [Some(first), second].into_iter().flatten().collect();
        at += pause + faults.iter().map(|fault| fault.lasts).max().unwrap_or_default();
        incidents.push(Incident { pause, faults });
    }
    incidents
}

/// Each combination once before any comes again, so that a run leaves none out.
fn deal(rng: &mut StdRng, deck: &mut Vec<(Target, Kind)>) -> Fault {
    if deck.is_empty() {
        *deck = combinations();
        deck.shuffle(rng);
    }
    let (target, kind) = deck.pop().unwrap_or((Target::LeadingRelay, Kind::Kill));
    let longest = match (target, kind) {
        // Longer than a lease, a session and a request.
        (_, Kind::Freeze | Kind::Silence) => 8_000,
        (Target::Link(_), _) => 4_000,
        _ => 2_500,
    };
    Fault { target, kind, lasts: Duration::from_millis(rng.random_range(100..=longest)) }
}

fn combinations() -> Vec<(Target, Kind)> {
    let processes = [
        Target::Api(0),
        Target::Api(1),
        Target::LeadingRelay,
        Target::StandbyRelay,
        Target::Projector(0),
        Target::Projector(1),
        Target::Mongodb,
        Target::Kafka,
        Target::Mysql,
    ];
    let with = |targets: Vec<Target>, kinds: &'static [Kind]| {
        targets.into_iter().flat_map(move |target| kinds.iter().map(move |kind| (target, *kind)))
    };
    let links = Link::ALL.map(Target::Link).to_vec();
    with(processes.to_vec(), &[Kind::Kill, Kind::Freeze, Kind::Restart])
        .chain(with(links, &[Kind::Cut, Kind::Silence]))
        .collect()
}

/// One in three hits what has not yet recovered.
fn pause(rng: &mut StdRng) -> Duration {
    let millis = if rng.random_bool(0.33) { 100..1_500 } else { 2_000..6_000 };
    Duration::from_millis(rng.random_range(millis))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_means_one_schedule_and_another_seed_another() {
        assert_eq!(draw(7, LONG), draw(7, LONG));
        assert_ne!(draw(7, LONG), draw(8, LONG));
    }

    #[test]
    fn a_long_run_meets_every_combination_singly_and_in_pairs() {
        let incidents = draw(1, LONG);
        let met: BTreeSet<_> = incidents
            .iter()
            .flat_map(|incident| &incident.faults)
            .map(|fault| (fault.target, fault.kind))
            .collect();
        assert_eq!(met, combinations().into_iter().collect());
        let pairs = incidents.iter().filter(|incident| incident.faults.len() == 2).count();
        assert!((incidents.len() / 6..incidents.len() / 2).contains(&pairs), "{pairs}");
        assert!(incidents.iter().all(|incident| match incident.faults.as_slice() {
            [_] => true,
            [first, second] => first.target != second.target,
            _ => false,
        }));
    }
}

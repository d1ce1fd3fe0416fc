mod faults;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::check::{Breach, Findings};
use super::fault::Incident;
use super::ledger::{Acknowledged, How};
use super::load::Written;
use super::setback::Taken;
use super::{Deck, Relays, Settings};

/// An incident that was done and undone.
pub struct Suffered {
    pub incident: Incident,
    /// Since the run began.
    pub at: Duration,
    /// From the first being hit to the last being started, thawed or mended.
    pub lasted: Duration,
    pub over: Instant,
}

/// A run, and what it has shown.
pub struct Report {
    pub settings: Settings,
    pub took: Duration,
    pub suffered: Vec<Suffered>,
    pub taken: Vec<Taken>,
    /// Documented commands that did not help, and what they said.
    pub unhelpful: Vec<String>,
    pub acknowledged: Vec<Acknowledged>,
    pub written: Written,
    /// From the last answer until the rows equalled the documents.
    pub drained: Duration,
    pub findings: Findings,
    /// What `outboxctl verify` has to say, where it finds a difference.
    pub second_opinion: Option<String>,
}

/// Of each breach, and of the clients' surprises.
const EXAMPLES: usize = 5;

impl Report {
    /// No promise was broken.
    pub fn is_clean(&self) -> bool {
        self.findings.is_clean()
            && self.second_opinion.is_none()
            && self.unreported() == 0
            && self.unhelpful.is_empty()
            && self.written.tally.surprises.is_empty()
    }

    /// Setbacks that the product did not notice.
    fn unreported(&self) -> usize {
        self.taken.iter().filter(|taken| taken.reported.is_none()).count()
    }

    fn writes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_way: BTreeMap<How, usize> = BTreeMap::new();
        for write in &self.acknowledged {
            *by_way.entry(write.how).or_default() += 1;
        }
        let of = |how| by_way.get(&how).copied().unwrap_or_default();
        let rate = self.acknowledged.len() as f64 / self.took.as_secs_f64();
        writeln!(f, "{} writes acknowledged, {rate:.0}/s", self.acknowledged.len())?;
        writeln!(
            f,
            "  {} answered, {} answered again by Idempotency-Key, {} read back after a lost \
             answer, {} part of another write",
            of(How::Answered),
            of(How::Replayed),
            of(How::ReadBack),
            of(How::Implied)
        )?;
        let answers: Vec<String> = self
            .written
            .tally
            .answers
            .iter()
            .map(|(status, count)| match status {
                0 => format!("none: {count}"),
                status => format!("{status}: {count}"),
            })
            .collect();
        writeln!(f, "  answers {}", answers.join(", "))?;
        if let Some(median) = self.written.probes.median() {
            writeln!(f, "  from request to row, median {} ms", median.as_millis())?;
        }
        writeln!(f, "  all rows there {} after the last answer", seconds(self.drained))
    }

    fn promises(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verify = usize::from(self.second_opinion.is_some());
        let surprises = &self.written.tally.surprises;
        writeln!(f, "{:<40} {:>9} {:>7}", "promise broken", "looked at", "found")?;
        for breach in Breach::ALL {
            let (looked, found) = (self.findings.looked(breach), self.findings.of(breach));
            writeln!(f, "{breach:<40} {looked:>9} {found:>7}")?;
        }
        let answers: u64 = self.written.tally.answers.values().sum();
        writeln!(f, "{:<40} {answers:>9} {:>7}", "answers against the contract", surprises.len())?;
        writeln!(f, "{:<40} {:>9} {verify:>7}", "outboxctl verify disagrees", 1)?;
        let (taken, unreported) = (self.taken.len(), self.unreported());
        writeln!(f, "{:<40} {taken:>9} {unreported:>7}", "setbacks that were not reported")?;
        let (command, unhelpful) = ("documented commands that did not help", self.unhelpful.len());
        writeln!(f, "{command:<40} {taken:>9} {unhelpful:>7}")?;
        let mut shown: BTreeMap<Breach, usize> = BTreeMap::new();
        for (breach, what) in self.findings.examples() {
            let count = shown.entry(breach).or_default();
            *count += 1;
            if *count <= EXAMPLES {
                writeln!(f, "{breach}: {what}")?;
            }
        }
        for surprise in surprises.iter().take(EXAMPLES) {
            writeln!(f, "answer against the contract: {surprise}")?;
        }
        self.unhelpful.iter().try_for_each(|said| writeln!(f, "{said}"))?;
        self.second_opinion.iter().try_for_each(|said| writeln!(f, "outboxctl verify: {said}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, seconds, relays, deck, .. } = self.settings;
        self.faults(f)?;
        writeln!(f)?;
        self.met(f)?;
        self.losses(f)?;
        writeln!(f)?;
        self.writes(f)?;
        writeln!(f)?;
        self.promises(f)?;
        let verdict = if self.is_clean() { "kept" } else { "BROKEN" };
        let shards = if relays == Relays::Shards { " SHARDS=2" } else { "" };
        write!(f, "\nevery promise {verdict}")?;
        match deck {
            Deck::Full => writeln!(f, "; again: make chaos SEED={seed} SECONDS={seconds}{shards}"),
            Deck::Cheap => writeln!(f),
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

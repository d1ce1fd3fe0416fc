//! What was read, judged: where it stands, how late, and which hop holds it up.

mod projector;
mod relay;
mod topics;

use shared::Timestamp;
use shared::event::Domain;
use shared::outbox;
use shared::watermark::{COUNTED_LETTERS, Loss, Watermark};

use super::reading::{
    Answers, Hop, Lost, Outbox, Projector, Reading, Relay, RelayState, Rewound, State, Timeliness,
};
use crate::store::{COUNTED, COUNTED_DOCUMENTS, Division, PACE_MILLIS, Pipeline};

/// A hop with more lag than this is late: earlier than an alert, for somebody who looks.
const LATE_SECONDS: f64 = 10.0;
/// The relay reports every 10 s when nothing changes. After twice that it is silent.
const SILENT_SECONDS: f64 = 20.0;
/// A hop that has moved nothing for so long, although something waits, is stuck.
const STUCK_SECONDS: f64 = 20.0;
/// What passes within this time (a new leader, a rebalance) is not worth an alarm.
const MOMENT_SECONDS: f64 = 3.0;

impl Reading {
    /// Nothing was read, and it is not known why.
    pub fn unknown(at: Timestamp) -> Self {
        Self {
            at,
            state: State::Unknown,
            held_up_at: None,
            mongodb: Answers::Unknown,
            documents: None,
            documents_capped: Vec::new(),
            outbox: None,
            relay: Relay::default(),
            topics: None,
            projector: Projector::default(),
            dead_letters: None,
            dead_letters_are_capped: false,
            rewound: None,
            lost: Vec::new(),
        }
    }

    /// MongoDB gave no answer. Nothing is known but that: and then all writes are refused.
    pub fn without_mongodb(at: Timestamp) -> Self {
        Self {
            state: State::Stuck,
            held_up_at: Some(Hop::Mongodb),
            mongodb: Answers::Away,
            ..Self::unknown(at)
        }
    }

    pub fn of(pipeline: Pipeline, at: Timestamp) -> Self {
        let relay = relay::relay(&pipeline.watermarks, pipeline.waiting, at);
        let projector = projector::projector(&pipeline, &relay, at);
        let dead_letters = dead_letters(&pipeline.watermarks, &relay);
        let mut reading = Self {
            mongodb: Answers::Ok,
            topics: topics::topics(&pipeline.watermarks, is_current(&relay)),
            dead_letters,
            dead_letters_are_capped: dead_letters.is_some_and(|letters| letters >= COUNTED_LETTERS),
            lost: lost(&pipeline.watermarks),
            outbox: Some(outbox(&pipeline)),
            rewound: pipeline
                .rewound
                .map(|rewound| Rewound { noticed_at: rewound.noticed_at, reason: rewound.reason }),
            relay,
            projector,
            ..Self::unknown(at)
        };
        if let Some(counts) = pipeline.counts {
            let capped = |name: &&str| counts.get(name).is_some_and(|it| *it >= COUNTED_DOCUMENTS);
            let names = Domain::ALL.map(Domain::collection);
            reading.documents_capped = names.into_iter().filter(capped).collect();
            let of_domains = counts.into_iter().filter(|(name, _)| names.contains(name));
            reading.documents = Some(of_domains.collect());
        }
        let moves = pipeline.pace.newest.is_some_and(|it| at.millis() - it.millis() < PACE_MILLIS);
        (reading.state, reading.held_up_at) = reading.judge(moves);
        reading
    }

    /// The worst that is known. Of hops, the first in the order of the flow.
    fn judge(&self, moves: bool) -> (State, Option<Hop>) {
        let (state, hop) = self.hops();
        let is_damaged = self.rewound.is_some() || !self.lost.is_empty();
        let refused = self.outbox.as_ref().and_then(|outbox| outbox.dead).unwrap_or(0) > 0
            || self.dead_letters.unwrap_or(0) > 0;
        match state {
            State::Stuck => (state, hop),
            _ if is_damaged => (State::Damaged, None),
            State::Flowing if refused => (State::Refused, None),
            State::Flowing if !moves => (State::Idle, None),
            _ => (state, hop),
        }
    }

    fn hops(&self) -> (State, Option<Hop>) {
        let at_relay = match self.relay.state {
            RelayState::Ok => None,
            RelayState::Late => Some((State::Late, Hop::Relay)),
            RelayState::Silent => Some((State::Stuck, Hop::Relay)),
            RelayState::Unknown => Some((State::Unknown, Hop::Relay)),
            RelayState::Blocked => Some((State::Stuck, self.blocked_at())),
        };
        let at_projector = match self.projector.state {
            Timeliness::Ok => None,
            Timeliness::Late => Some((State::Late, Hop::Projector)),
            Timeliness::Stuck | Timeliness::Absent => Some((State::Stuck, Hop::Projector)),
            Timeliness::Unknown => Some((State::Unknown, Hop::Projector)),
        };
        match at_relay.or(at_projector) {
            Some((state, hop)) => (state, Some(hop)),
            None => (State::Flowing, None),
        }
    }

    fn blocked_at(&self) -> Hop {
        match self.relay.obstacle.as_ref().map(|obstacle| obstacle.server.as_str()) {
            Some("kafka") => Hop::Kafka,
            Some("mongodb") => Hop::Mongodb,
            _ => Hop::Relay,
        }
    }
}

fn outbox(pipeline: &Pipeline) -> Outbox {
    let of = |name| pipeline.counts.as_ref().and_then(|counts| counts.get(name)).copied();
    let (records, waiting) = (of(outbox::COLLECTION), pipeline.waiting.map(|it| it.events));
    Outbox {
        records,
        records_are_capped: records.is_some_and(|records| records >= COUNTED_DOCUMENTS),
        waiting,
        waiting_is_capped: waiting.is_some_and(|events| events >= COUNTED),
        events_per_second: pipeline.pace.events_per_second,
        last_event_at: pipeline.pace.newest,
        dead: of(outbox::DEAD_COLLECTION),
    }
}

/// Whether what the relay reports of Kafka and of the projector is of now.
fn is_current(relay: &Relay) -> bool {
    matches!(relay.state, RelayState::Ok | RelayState::Late)
}

fn reports(division: &Division) -> impl Iterator<Item = &Watermark> {
    division.iter().filter_map(|(_, watermark)| watermark.as_ref())
}

fn dead_letters(division: &Division, relay: &Relay) -> Option<i64> {
    let letters = reports(division).filter_map(|watermark| watermark.dead_letters).max();
    letters.filter(|_| is_current(relay))
}

/// Records that are gone stay gone, whoever reports them.
fn lost(division: &Division) -> Vec<Lost> {
    let losses = reports(division).flat_map(|watermark| &watermark.lost);
    let lost = |loss: &Loss| Lost {
        topic: loss.topic.clone(),
        partition: loss.partition,
        from_offset: loss.from_offset,
        to_offset: loss.to_offset,
    };
    losses.map(lost).collect()
}

/// Clocks of two machines may disagree: a moment that lies in our future counts as now.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 milliseconds")]
fn seconds(since: Timestamp, now: Timestamp) -> f64 {
    (now.millis() - since.millis()).max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests;

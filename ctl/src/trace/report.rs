use std::fmt;

use projector::dead_letter::DeadLetter;
use serde::Serialize;
use shared::Timestamp;
use uuid::Uuid;

use super::outbox::Stored;
use super::replica::Replica;
use super::topics::{Place, Record};
use crate::table::grouped;

/// What an event is, whoever said it.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// As the contract names it.
    pub topic: String,
    pub entity_id: String,
    pub event_type: String,
    /// 0: of the older producer, which counted none.
    pub version: i64,
    /// By the API's clock.
    pub occurred_at: Option<Timestamp>,
}

/// All that was found of an event. What is absent was not found, or could not be asked:
/// then it is among the problems.
#[derive(Debug, Serialize)]
pub struct Trace {
    pub event_id: Uuid,
    pub state: State,
    pub event: Option<Event>,
    pub outbox: Option<Outbox>,
    pub kafka: Option<Kafka>,
    pub mysql: Option<Replica>,
    pub dead_letter: Option<Letter>,
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Unknown,
    Committed,
    Refused,
    Published,
    Applied,
    DeadLettered,
}

/// What MongoDB has.
#[derive(Debug, Serialize)]
pub struct Outbox {
    /// By MongoDB's clock, in whole seconds: the commit is later.
    pub inserted_at: Option<Timestamp>,
    /// By the clock of whoever saw it first: the commit is earlier.
    pub committed_before: Timestamp,
    pub refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Kafka {
    #[serde(flatten)]
    pub place: Place,
    /// By the relay's clock.
    pub at: Option<Timestamp>,
    pub after_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub struct Letter {
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    pub failed_at: String,
}

impl Trace {
    pub fn new(event_id: Uuid) -> Self {
        Self {
            event_id,
            state: State::Unknown,
            event: None,
            outbox: None,
            kafka: None,
            mysql: None,
            dead_letter: None,
            problems: Vec::new(),
        }
    }

    pub fn is_found(&self) -> bool {
        self.event.is_some()
    }

    pub fn stored(&mut self, stored: Option<&Stored>) {
        let Some(stored) = stored else { return };
        self.event = Some(stored.event.clone());
        self.state = if stored.refused.is_some() { State::Refused } else { State::Committed };
        self.outbox = Some(Outbox {
            inserted_at: stored.inserted_at,
            committed_before: Timestamp::now(),
            refused: stored.refused.clone(),
        });
    }

    pub fn published(&mut self, record: Option<&Record>) {
        let Some(record) = record else { return };
        let event = self.event.get_or_insert_with(|| record.event.clone());
        let after = |at: Timestamp| Some(at.millis() - event.occurred_at?.millis());
        self.state = State::Published;
        self.kafka = Some(Kafka {
            place: record.place.clone(),
            at: record.at,
            after_ms: record.at.and_then(after),
        });
        if let (Some(outbox), Some(at)) = (&mut self.outbox, record.at) {
            outbox.committed_before = at;
        }
    }

    /// The row alone does not tell: an older producer's event has no version, and a later
    /// event may have come first after a replay.
    pub fn applied(&mut self, replica: Replica) {
        let version = self.event.as_ref().map_or(0, |event| event.version);
        let past = self.kafka.as_ref().is_none_or(|kafka| replica.is_past(&kafka.place));
        if self.state == State::Published && past && replica.reaches(version) {
            self.state = State::Applied;
        }
        self.mysql = Some(replica);
    }

    /// The projector is past it, and no row shows it.
    pub fn may_be_dead(&self) -> bool {
        let past = |replica: &Replica| {
            self.kafka.as_ref().is_some_and(|kafka| replica.is_past(&kafka.place))
        };
        self.state == State::Published && self.mysql.as_ref().is_some_and(past)
    }

    pub fn dead_letter(&mut self, letter: Option<DeadLetter>) {
        if let Some(letter) = letter {
            self.state = State::DeadLettered;
            self.dead_letter = Some(Letter {
                partition: letter.partition,
                offset: letter.offset,
                reason: letter.reason,
                failed_at: letter.failed_at,
            });
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "event      {}", self.event_id)?;
        if let Some(event) = &self.event {
            writeln!(
                f,
                "           {} of {}, version {}",
                event.event_type, event.entity_id, event.version
            )?;
            hop(f, "occurred", event.occurred_at, "by the API's clock")?;
        }
        self.outbox_line(f)?;
        self.kafka_line(f)?;
        self.mysql_line(f)?;
        if let Some(letter) = &self.dead_letter {
            let place = format!("{}:{}", letter.partition, letter.offset);
            let Letter { reason, failed_at, .. } = letter;
            writeln!(f, "dead       {failed_at}  {reason}, dead letter {place}")?;
        }
        for problem in &self.problems {
            writeln!(f, "unknown    {problem}")?;
        }
        writeln!(f, "state      {}", self.state)
    }
}

impl Trace {
    fn outbox_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(outbox) = &self.outbox else {
            return writeln!(f, "committed  -  not in the outbox: purged, or never there");
        };
        hop(f, "committed", Some(outbox.committed_before), "at the latest")?;
        if let Some(inserted) = outbox.inserted_at {
            hop(f, "", Some(inserted), "or later: MongoDB's clock at the insert, whole seconds")?;
        }
        match &outbox.refused {
            Some(refused) => writeln!(f, "refused    {refused}"),
            None => Ok(()),
        }
    }

    fn kafka_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kafka) = &self.kafka else {
            return writeln!(f, "published  -");
        };
        let Place { topic, partition, offset } = &kafka.place;
        let after =
            kafka.after_ms.map(|millis| format!(", {} ms after it occurred", grouped(millis)));
        let place = format!("{topic} [{partition}] at {offset}{}", after.unwrap_or_default());
        hop(f, "published", kafka.at, &place)
    }

    fn mysql_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(replica) = &self.mysql else {
            return writeln!(f, "applied    -");
        };
        match (&replica.row, &replica.tombstone) {
            (Some(row), _) => {
                writeln!(f, "row        version {} of {}", row.version, row.event_id)?
            }
            (None, Some(gone)) => {
                writeln!(f, "row        deleted by version {} of {}", gone.version, gone.event_id)?;
            }
            (None, None) => writeln!(f, "row        -")?,
        }
        match replica.progress {
            Some(offset) => writeln!(f, "           its partition is applied up to {offset}"),
            None => Ok(()),
        }
    }
}

fn hop(f: &mut fmt::Formatter<'_>, name: &str, at: Option<Timestamp>, what: &str) -> fmt::Result {
    let at = at.map_or("-".to_owned(), |at| at.to_string());
    writeln!(f, "{name:<9}  {at}  {what}")
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown: found nowhere",
            Self::Committed => "committed",
            Self::Refused => "refused: Kafka will never take it",
            Self::Published => "published",
            Self::Applied => "applied",
            Self::DeadLettered => "dead-lettered: MySQL will never take it",
        })
    }
}

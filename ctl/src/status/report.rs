use std::fmt;

use serde::Serialize;

use super::documents::Documents;
use super::processes::RelayStatus;
use super::topics::Topic;
use crate::offsets::Records;
use crate::table::{Table, grouped};

/// Everything on one screen. What is absent could not be asked.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Every server answers, and every process is ready.
    pub healthy: bool,
    /// All that is known to be wrong, a sentence each.
    pub problems: Vec<String>,
    pub domains: Vec<DomainStatus>,
    pub relay: Option<RelayStatus>,
    pub dead_letters: Option<Records>,
    pub dead_events: Option<u64>,
    pub servers: Vec<ServerStatus>,
}

#[derive(Debug, Serialize)]
pub struct DomainStatus {
    pub domain: &'static str,
    pub documents: Option<Documents>,
    pub outbox: Option<u64>,
    pub topic: Option<Topic>,
    pub rows: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct ServerStatus {
    pub name: &'static str,
    pub address: String,
    /// Why it is of no use at the moment, if it is not.
    pub problem: Option<String>,
}

const UNKNOWN: &str = "-";

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_problems(f)?;
        for server in &self.servers {
            let state = server.problem.as_deref().unwrap_or("ok");
            writeln!(f, "{:<10} {:<32} {state}", server.name, server.address)?;
        }
        writeln!(f)?;
        let mut table = Table::new([
            "domain",
            "documents",
            "live",
            "outbox",
            "events in Kafka",
            "consumer lag",
            "due in MySQL",
            "rows in MySQL",
        ]);
        for domain in &self.domains {
            table.row(domain.cells());
        }
        writeln!(f, "{table}")?;
        writeln!(f, "relay lag        {}", self.relay_lag())?;
        let pending = self.relay.as_ref().and_then(|relay| relay.pending_events);
        writeln!(
            f,
            "relay pending    {}",
            unless_unknown(pending, |events| format!("{events} events"))
        )?;
        let dead = unless_unknown(self.dead_letters, |records| records.to_string());
        writeln!(f, "dead letters     {dead}")?;
        writeln!(f, "dead events      {}", unless_unknown(self.dead_events, grouped))
    }
}

impl ServerStatus {
    /// What is wrong with it, if anything is.
    pub fn sentence(&self) -> Option<String> {
        Some(format!("{}: {}", self.name, self.problem.as_ref()?))
    }
}

impl Status {
    /// What an operator must know, before all figures.
    fn write_problems(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            0 => writeln!(f, "no problem is known\n"),
            count => {
                writeln!(f, "{count} problem{}", if count == 1 { "" } else { "s" })?;
                for problem in &self.problems {
                    writeln!(f, "  {problem}")?;
                }
                writeln!(f)
            }
        }
    }

    fn relay_lag(&self) -> String {
        match &self.relay {
            None => UNKNOWN.to_owned(),
            Some(RelayStatus { lag_seconds: None, .. }) => "not known yet".to_owned(),
            Some(RelayStatus { lag_seconds: Some(lag), .. }) => format!("{lag:.3} s"),
        }
    }
}

impl DomainStatus {
    fn cells(&self) -> [String; 8] {
        let documents = self.documents.as_ref();
        let topic = self.topic.as_ref();
        [
            self.domain.to_owned(),
            unless_unknown(documents.map(|it| it.total), grouped),
            unless_unknown(documents.map(|it| it.live), grouped),
            unless_unknown(self.outbox, grouped),
            unless_unknown(topic.map(|it| it.events), |it| it.to_string()),
            unless_unknown(topic.map(|it| it.consumer_lag), |it| it.to_string()),
            unless_unknown(documents.map(|it| it.due), grouped),
            unless_unknown(self.rows, grouped),
        ]
    }
}

fn unless_unknown<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or(UNKNOWN.to_owned(), text)
}

//! `outboxctl transactions list`.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use serde_json::{Value, json};

use super::decision::Decision;
use super::survey::{Finding, Survey, Verdict};
use super::{HANGS, NOT_KNOWN, TransactionsError, moment};
use crate::table::{Table, grouped};

pub fn run(
    survey: Survey,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, TransactionsError> {
    for reason in &survey.unseen {
        tracing::error!(reason, "could not look at everything");
    }
    if json {
        for finding in &survey.findings {
            writeln!(out, "{}", object(finding))?;
        }
    } else if survey.findings.is_empty() && survey.unseen.is_empty() {
        writeln!(out, "no open transaction")?;
    } else if !survey.findings.is_empty() {
        print(&survey.findings, out)?;
    }
    Ok(exit_code(&survey))
}

pub fn exit_code(survey: &Survey) -> ExitCode {
    let any = |of: fn(&Verdict) -> bool| survey.findings.iter().any(|it| of(&it.verdict));
    if any(|verdict| matches!(verdict, Verdict::Hanging(_))) {
        ExitCode::from(HANGS)
    } else if !survey.unseen.is_empty() || any(|verdict| matches!(verdict, Verdict::Unclear(_))) {
        ExitCode::from(NOT_KNOWN)
    } else {
        ExitCode::SUCCESS
    }
}

fn print(findings: &[Finding], out: &mut impl Write) -> Result<(), TransactionsError> {
    let mut table = Table::new([
        "partition",
        "first offset",
        "producer",
        "epoch",
        "last record",
        "transactional id",
        "coordinator",
        "verdict",
    ]);
    for finding in findings {
        let open = &finding.open;
        table.row([
            format!("{}-{}", open.topic, open.partition),
            grouped(open.first_offset),
            open.producer_id.to_string(),
            open.producer_epoch.to_string(),
            age(open.last_record_at).map_or("-".to_owned(), |age| format!("{age:.0} s ago")),
            finding.transactional_id.clone().unwrap_or_else(|| "-".to_owned()),
            finding.state().to_owned(),
            finding.verdict.word().to_owned(),
        ]);
    }
    write!(out, "{table}")?;
    for finding in findings {
        writeln!(out, "{}@{}: {}", place(finding), finding.open.first_offset, explained(finding))?;
    }
    Ok(())
}

fn object(finding: &Finding) -> Value {
    let open = &finding.open;
    let decided = match &finding.verdict {
        Verdict::Hanging(Decision::Made { outcome, .. }) => Some(outcome.to_string()),
        _ => None,
    };
    json!({
        "topic": open.topic,
        "partition": open.partition,
        "first_offset": open.first_offset,
        "producer_id": open.producer_id,
        "producer_epoch": open.producer_epoch,
        "coordinator_epoch": open.coordinator_epoch,
        "last_record_at": moment(open.last_record_at).filter(|_| open.last_record_at >= 0),
        "age_seconds": age(open.last_record_at),
        "transactional_id": finding.transactional_id,
        "coordinator": finding.state(),
        "verdict": finding.verdict.word(),
        "decided": decided,
        "explanation": explained(finding),
    })
}

/// Since the newest record was written, in seconds by our clock.
fn age(last_record_at: i64) -> Option<f64> {
    let millis = Utc::now().timestamp_millis().checked_sub(last_record_at)?;
    (last_record_at >= 0).then_some(millis as f64 / 1_000.0)
}

pub fn place(finding: &Finding) -> String {
    format!("{}-{}", finding.open.topic, finding.open.partition)
}

/// The verdict in a sentence.
pub fn explained(finding: &Finding) -> String {
    let timeout = finding.known.as_ref().map(|it| it.timeout);
    match (&finding.verdict, timeout) {
        (Verdict::Live, Some(timeout)) => {
            format!("live: its producer ends it, or its coordinator after {} s", timeout.as_secs())
        }
        (Verdict::Live, None) => {
            "live: the last record about it says that it is under way".to_owned()
        }
        (Verdict::Hanging(Decision::Made { outcome, grounds }), _) => {
            format!("hangs; decided: {outcome} ({grounds})")
        }
        (Verdict::Hanging(Decision::Unknown(why)), _) => {
            format!("hangs; what was decided is not known: {why}")
        }
        (Verdict::Hanging(Decision::Pending), _) => "hangs; not decided".to_owned(),
        (Verdict::Unclear(why), _) => format!("it is not known whether it hangs: {why}"),
    }
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Hanging(_) => "hanging",
            Self::Unclear(_) => "unclear",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

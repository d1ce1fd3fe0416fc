//! `outboxctl transactions finish`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::sleep;

use super::decision::{Decision, Outcome};
use super::list::{explained, place};
use super::marker::NotWritten;
use super::survey::{Finding, Surveyor, Verdict};
use super::{Finish, HANGS, NOT_KNOWN, TransactionsError};

/// A leader that has moved, or an epoch that has risen, is found by looking again.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

const CHOICE: &str = "  --outcome commit lets readers see its records. If the coordinator had decided to abort, \
                      what was sent again after that is there twice.\n  \
                      --outcome abort hides its records for good. If the coordinator had decided to \
                      commit, these events are lost for every reader of the topic.\n";

/// What came of an attempt.
#[derive(Default)]
struct Tally {
    refused: u32,
    unseen: usize,
    /// What made an end impossible for now.
    changed: Vec<String>,
}

pub async fn run(
    surveyor: &mut Surveyor,
    wanted: impl Fn(&str, i32) -> bool,
    finish: &Finish,
    out: &mut impl Write,
) -> Result<ExitCode, TransactionsError> {
    let mut attempt = 1;
    let tally = loop {
        let tally = once(surveyor, &wanted, finish, out).await?;
        if tally.changed.is_empty() || attempt == ATTEMPTS {
            break tally;
        }
        tracing::info!(reasons = ?tally.changed, "looking again");
        attempt += 1;
        sleep(PAUSE).await;
    };
    for reason in &tally.changed {
        tracing::error!(reason, "not ended");
    }
    Ok(match tally {
        Tally { unseen: 1.., .. } => ExitCode::from(NOT_KNOWN),
        Tally { refused: 0, changed, .. } if changed.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::from(HANGS),
    })
}

async fn once(
    surveyor: &mut Surveyor,
    wanted: impl Fn(&str, i32) -> bool,
    finish: &Finish,
    out: &mut impl Write,
) -> Result<Tally, TransactionsError> {
    let survey = surveyor.survey(wanted).await?;
    for reason in &survey.unseen {
        tracing::error!(reason, "could not look at everything");
    }
    let mut tally = Tally { unseen: survey.unseen.len(), ..Tally::default() };
    let mut idle = true;
    for finding in &survey.findings {
        // Live ones are not what `--all-hanging` asks for.
        if finish.all_hanging && finding.verdict == Verdict::Live {
            continue;
        }
        idle = false;
        match chosen(finding, finish.outcome) {
            Err(why) => {
                tally.refused += 1;
                writeln!(out, "{} not touched: {why}", name(finding))?;
            }
            Ok(outcome) if finish.dry_run => {
                writeln!(out, "{} would be ended: {outcome}", name(finding))?;
                writeln!(out, "  {}", explained(finding))?;
            }
            Ok(outcome) => end(surveyor, finding, outcome, &mut tally, out).await?,
        }
    }
    if idle && survey.unseen.is_empty() {
        writeln!(out, "nothing hangs")?;
    }
    Ok(tally)
}

fn name(finding: &Finding) -> String {
    format!("{}@{}", place(finding), finding.open.first_offset)
}

/// The outcome to write, or why none is written. Pure.
fn chosen(finding: &Finding, given: Option<Outcome>) -> Result<Outcome, String> {
    match (&finding.verdict, given) {
        (Verdict::Hanging(Decision::Made { outcome, .. }), Some(given)) if given != *outcome => {
            Err(format!("{}; --outcome {given} would contradict it", explained(finding)))
        }
        (Verdict::Hanging(Decision::Made { outcome, .. }), _) => Ok(*outcome),
        (Verdict::Hanging(Decision::Unknown(_)), Some(given)) => Ok(given),
        (Verdict::Hanging(Decision::Unknown(_)), None) => {
            Err(format!("{}\n{}", explained(finding), CHOICE.trim_end()))
        }
        (Verdict::Live | Verdict::Unclear(_) | Verdict::Hanging(Decision::Pending), _) => {
            Err(explained(finding))
        }
    }
}

async fn end(
    surveyor: &mut Surveyor,
    finding: &Finding,
    outcome: Outcome,
    tally: &mut Tally,
    out: &mut impl Write,
) -> Result<(), TransactionsError> {
    match surveyor.write(&finding.open, outcome).await {
        Ok(()) => {}
        Err(NotWritten::Changed(reason)) => {
            tally.changed.push(format!("{}: {reason}", name(finding)));
            return Ok(());
        }
        Err(NotWritten::Refused(reason)) => {
            tally.refused += 1;
            writeln!(out, "{} not ended: {reason}", name(finding))?;
            return Ok(());
        }
    }
    writeln!(out, "{} ended: {outcome}", name(finding))?;
    writeln!(out, "  {}", explained(finding))?;
    let ends = surveyor.ends_after(&finding.open).await?;
    let first = finding.open.first_offset;
    if ends.stable <= first {
        tally.refused += 1;
        writeln!(out, "  readers are still held back at offset {}: look at the list", ends.stable)?;
    } else {
        writeln!(out, "  last stable offset {first} -> {}, of {}", ends.stable, ends.end)?;
    }
    Ok(())
}

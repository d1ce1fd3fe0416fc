//! `outboxctl trace`: where one event is, read from the servers themselves, with the time
//! of each hop.

mod outbox;
mod replica;
mod report;
mod topics;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use shared::process::{KafkaSettings, MongoSettings, MysqlSettings};
use uuid::Uuid;

use self::report::Trace;
use crate::servers;

/// Show where one event is: outbox, topic, MySQL, and when it got there.
///
/// The outbox says what it is; where it was purged, all topics are read from the moment in
/// its id on. The record is looked for in its key's partition, from some time before it
/// occurred, so that this takes as long as reading the topic from there.
///
/// The time of the commit is not stored: it lies between the two that are shown.
/// Exit code 0: found, however far it has come. 1: found nowhere. 2: a server that had to
/// be asked did not answer.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// As X-Event-ID, the Kafka header event_id or a row's event_id has it.
    event_id: Uuid,

    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    kafka: KafkaSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

const NOWHERE: u8 = 1;
const NOT_ASKED: u8 = 2;

/// # Errors
/// Only where stdout refuses the result.
pub async fn run(args: TraceArgs, out: &mut impl Write) -> std::io::Result<ExitCode> {
    let trace = follow(&args).await;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&trace)?)?,
        false => write!(out, "{trace}")?,
    }
    Ok(match (&trace.problems[..], trace.is_found()) {
        ([], true) => ExitCode::SUCCESS,
        ([], false) => ExitCode::from(NOWHERE),
        _ => ExitCode::from(NOT_ASKED),
    })
}

async fn follow(args: &TraceArgs) -> Trace {
    let mut trace = Trace::new(args.event_id);
    let stored = outbox::find(&args.mongodb, args.event_id).await;
    let stored = stored.map_err(|error| servers::explain(&error));
    let stored = known(&mut trace, "MongoDB", stored).flatten();
    let (kafka, id, hint) = (args.kafka.clone(), args.event_id, stored.clone());
    let search = tokio::task::spawn_blocking(move || topics::find(&kafka, id, hint.as_ref()));
    let search = search.await.map_err(|error| error.to_string());
    let record = search.and_then(|found| found.map_err(|error| error.to_string()));
    let record = known(&mut trace, "Kafka", record).flatten();
    trace.stored(stored.as_ref());
    trace.published(record.as_ref());
    let Some(event) = trace.event.clone() else {
        return trace;
    };
    let replica = replica::read(&args.mysql, &event, record.as_ref().map(|it| &it.place)).await;
    if let Some(replica) = known(&mut trace, "MySQL", replica) {
        trace.applied(replica);
    }
    if let Some(record) = record.filter(|_| trace.may_be_dead()) {
        let letter = topics::dead_letter(&args.kafka, &record.place).await;
        let letter = known(&mut trace, "Kafka", letter).flatten();
        trace.dead_letter(letter);
    }
    trace
}

/// What a server answered; where it did not, that is noted.
fn known<T, E: Display>(trace: &mut Trace, server: &str, answer: Result<T, E>) -> Option<T> {
    let noted = answer.map_err(|error| trace.problems.push(format!("{server}: {error}")));
    noted.ok()
}

//! `outboxctl status`: the whole pipeline on one screen, with whatever of it answers.

mod documents;
mod hops;
mod processes;
mod report;
mod rows;
mod topics;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use mongodb::options::ClientOptions;
use shared::event::Domain;
use shared::process::{GroupSettings, KafkaSettings, MongoSettings, MysqlSettings};
use tokio::time::timeout;

use self::report::{DomainStatus, ServerStatus, Status};
use crate::offsets::Records;
use crate::servers;
use crate::settings::ApiSettings;
use crate::table::grouped;

/// Show what is wrong, who answers, and documents, events, rows and lag.
///
/// It answers within 5 seconds. What does not answer is named, with its reason, and its
/// figures are missing; the exit code is 0 all the same, unless --check is given. Figures
/// that take too long to count are missing, too.
///
/// due in MySQL: the rows that MySQL holds once all is applied. (A product that is deleted
/// has none; a user or a post keeps its row.)
/// events in Kafka: counted by reading them, up to 50,000; beyond, "≤" marks the
/// number of offsets, which the markers of transactions are part of.
/// relay lag: what the relay says of itself; see its metric relay_lag_seconds.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    kafka: KafkaSettings,

    #[command(flatten)]
    group: GroupSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    #[command(flatten)]
    api: ApiSettings,

    /// Where the relay shows its health and metrics.
    #[arg(
        long,
        env = "RELAY_URL",
        default_value = "http://127.0.0.1:9101",
        help_heading = "Processes"
    )]
    relay_url: String,

    /// Where the projector shows its health and metrics.
    #[arg(
        long,
        env = "PROJECTOR_URL",
        default_value = "http://127.0.0.1:9102",
        help_heading = "Processes"
    )]
    projector_url: String,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,

    /// Exit with 1 unless every server answers and every process is ready.
    #[arg(long)]
    check: bool,
}

/// # Errors
/// Only where stdout refuses the result.
pub async fn run(args: StatusArgs, out: &mut impl Write) -> std::io::Result<ExitCode> {
    let status = gather(&args).await;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?,
        false => write!(out, "{status}")?,
    }
    Ok(match args.check && !status.healthy {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

async fn gather(args: &StatusArgs) -> Status {
    let (mongodb, kafka, mysql, api, relay, projector, lag, hosts) = futures::join!(
        in_time(read_documents(args)),
        in_time(read_topics(args)),
        in_time(read_rows(args)),
        processes::ready(&args.api.api_url),
        processes::ready(&args.relay_url),
        processes::ready(&args.projector_url),
        processes::relay(&args.relay_url),
        hosts(&args.mongodb),
    );
    let server = |name, address: &str, problem: Option<String>| ServerStatus {
        name,
        address: address.to_owned(),
        problem,
    };
    let mysql_address = format!("{}:{}", args.mysql.mysql_host, args.mysql.mysql_port);
    let servers = vec![
        server("mongodb", &hosts, mongodb.as_ref().err().cloned()),
        server("kafka", &args.kafka.kafka_bootstrap_servers, kafka.as_ref().err().cloned()),
        server("mysql", &mysql_address, mysql.as_ref().err().cloned()),
        server("api", &args.api.api_url, api.err()),
        server("relay", &args.relay_url, relay.err()),
        server("projector", &args.projector_url, projector.err()),
    ];
    let dead_letters = kafka.as_ref().ok().and_then(|topics| topics.dead_letters);
    let mongodb = mongodb.ok();
    let dead_events = mongodb.as_ref().and_then(|source| source.dead_events);
    let mut problems: Vec<String> = servers.iter().filter_map(ServerStatus::sentence).collect();
    problems.extend(mongodb.iter().flat_map(|source| &source.problems).cloned());
    problems.extend(refused(dead_letters, dead_events));
    Status {
        healthy: servers.iter().all(|server| server.problem.is_none()),
        problems,
        domains: domains(mongodb, kafka.ok(), mysql.ok()),
        relay: lag.ok(),
        dead_letters,
        dead_events,
        servers,
    }
}

fn refused(dead_letters: Option<Records>, dead_events: Option<u64>) -> Vec<String> {
    let letters = dead_letters.filter(|letters| letters.records > 0).map(|letters| {
        format!("dead letters: {letters}; they could not be applied: outboxctl dlq list")
    });
    let events = dead_events.filter(|events| *events > 0).map(|events| {
        format!(
            "dead events: {}; they could not be published: collection outbox_dead",
            grouped(events)
        )
    });
    letters.into_iter().chain(events).collect()
}

/// Whatever takes longer says so instead of keeping the operator waiting.
const LONGEST: Duration = Duration::from_millis(4_500);

async fn in_time<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match timeout(LONGEST, work).await {
        Ok(outcome) => outcome.map_err(|error| first_line(&error)),
        Err(_) => Err(format!("no answer within {} s", LONGEST.as_secs_f64())),
    }
}

/// Drivers explain themselves at length; a row of the screen holds a sentence.
fn first_line(error: &impl Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

async fn read_documents(args: &StatusArgs) -> Result<documents::Source, String> {
    documents::read(&args.mongodb).await.map_err(|error| servers::explain(&error))
}

async fn read_topics(args: &StatusArgs) -> Result<topics::Topics, String> {
    let (kafka, group) = (args.kafka.clone(), args.group.kafka_group_id.clone());
    let read = tokio::task::spawn_blocking(move || topics::read(&kafka, &group)).await;
    read.map_err(|error| error.to_string())?.map_err(|error| servers::explain_kafka(&error))
}

async fn read_rows(args: &StatusArgs) -> Result<BTreeMap<Domain, u64>, String> {
    rows::read(&args.mysql).await.map_err(|error| servers::explain_mysql(&error))
}

/// Without the user and the password of the connection string.
async fn hosts(settings: &MongoSettings) -> String {
    // A name may have to be looked up, and the name server be away.
    match timeout(servers::PATIENCE, ClientOptions::parse(&settings.mongodb_url)).await {
        Err(_) => "MONGODB_URL does not resolve".to_owned(),
        Ok(Ok(options)) => {
            let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
            hosts.join(",")
        }
        Ok(Err(_)) => "MONGODB_URL does not parse".to_owned(),
    }
}

fn domains(
    source: Option<documents::Source>,
    topics: Option<topics::Topics>,
    rows: Option<BTreeMap<Domain, u64>>,
) -> Vec<DomainStatus> {
    let (mut documents, outbox) = match source {
        Some(source) => (source.documents, source.outbox),
        None => (BTreeMap::new(), None),
    };
    let topics = topics.map(|topics| topics.domains).unwrap_or_default();
    let status = |domain: Domain| DomainStatus {
        domain: domain.topic(),
        documents: documents.remove(&domain),
        outbox: outbox.as_ref().map(|it| it.get(&domain).copied().unwrap_or(0)),
        topic: topics.get(&domain).copied(),
        rows: rows.as_ref().and_then(|it| it.get(&domain).copied()),
    };
    Domain::ALL.into_iter().map(status).collect()
}

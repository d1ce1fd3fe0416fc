//! `outboxctl verify`: MongoDB against MySQL, both directions, field by field.
//!
//! A pass walks both sides of every table, ordered by id, in pages, and notes the
//! ids that seem to differ. Those are then looked at again, with fresh reads, once
//! or until `--wait` has passed; what differs in the last look is reported. Memory
//! grows with the number of differences, not with the number of documents.

mod compare;
mod examine;
mod merge;
mod projected;
mod replica;
mod report;
mod shape;
mod source;
mod text;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use shared::process::{MongoSettings, MysqlSettings, RetryPolicy};

use self::compare::compare;
use self::examine::{BATCH, examine};
use self::replica::Rows;
use self::report::{Report, Tables};
use self::shape::Shape;
use self::source::Documents;
use crate::servers;
use crate::terminal::{Progress, Terminal};

/// Compare every MongoDB document with its MySQL rows, field by field.
///
/// Both directions, all seven tables, timestamps at millisecond precision. Users
/// and posts keep their row when deleted; deleted products and removed suppliers
/// must have none. A living product whose supplier is gone may have no supplier
/// in MySQL, or an empty row in its place.
///
/// Exit code 0: equal. 1: they differ. 2: they could not be compared.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    mongodb: MongoSettings,

    #[command(flatten)]
    mysql: MysqlSettings,

    /// Seconds to look again at what differs before it counts: writes that are
    /// still on their way make momentary differences.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,

    /// How many differences of each table to show in full.
    #[arg(long, default_value_t = 10, value_name = "N")]
    first: usize,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("MongoDB cannot be read: {}", servers::explain(.0))]
    Mongodb(#[from] mongodb::error::Error),
    #[error("MySQL cannot be read: {0}")]
    Mysql(#[from] mysql_async::Error),
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
}

pub const DIFFERENT: u8 = 1;
pub const NOT_COMPARED: u8 = 2;

/// # Errors
/// [`VerifyError`]: the two could not be compared.
pub async fn run(
    args: VerifyArgs,
    terminal: &Terminal,
    out: &mut impl Write,
) -> Result<ExitCode, VerifyError> {
    let documents = Documents::new(servers::mongodb(&args.mongodb).await?);
    let rows = Rows::new(servers::mysql(&args.mysql));
    let mut total = 0;
    for shape in Shape::ALL {
        total += documents.count(shape.domain).await?;
    }
    let progress = terminal.progress(total);
    let verifier = Verifier {
        documents,
        rows,
        progress: &progress,
        first: args.first,
    };
    let report = verifier.verify(Duration::from_secs(args.wait)).await;
    progress.finish();
    let report = report?;
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    })
}

struct Verifier<'a> {
    documents: Documents,
    rows: Rows,
    progress: &'a Progress,
    first: usize,
}

/// One domain after its pass: what is certain, and the ids that seem to differ.
struct Suspicion {
    shape: &'static Shape,
    settled: Tables,
    ids: Vec<Box<str>>,
}

impl Verifier<'_> {
    async fn verify(&self, wait: Duration) -> Result<Report, VerifyError> {
        let started = Instant::now();
        let mut suspicions = Vec::new();
        for shape in Shape::ALL {
            suspicions.push(self.pass(shape).await?);
        }
        let mut pauses = AGAIN.waits();
        loop {
            let mut tables = Vec::new();
            for suspicion in &mut suspicions {
                tables.extend(self.look_again(suspicion).await?.into_reports());
            }
            let report = Report::new(tables, started.elapsed().as_secs_f64());
            if report.clean || started.elapsed() >= wait {
                return Ok(report);
            }
            let differing: usize = suspicions.iter().map(|suspicion| suspicion.ids.len()).sum();
            self.progress.stage(&format!("{differing} still differ"));
            tokio::time::sleep(pauses.next().unwrap_or(AGAIN.max)).await;
        }
    }

    async fn pass(&self, shape: &'static Shape) -> Result<Suspicion, VerifyError> {
        self.progress.stage(shape.table.name);
        let mut suspicion = Suspicion {
            shape,
            settled: Tables::new(shape),
            ids: Vec::new(),
        };
        let documents = self.documents.all(shape).await?;
        merge::merge(documents, self.rows.all(shape), |source, row| {
            self.progress.advance(u64::from(source.is_some()));
            let differences = compare(shape, source.as_ref(), row.as_ref());
            match differences.into_iter().next() {
                Some(difference) if can_be_looked_up(&difference.id) => {
                    suspicion.ids.push(difference.id.into());
                }
                difference => {
                    suspicion.settled.saw(source.as_ref(), row.as_ref());
                    if let Some(difference) = difference {
                        suspicion.settled.file(difference, self.first);
                    }
                }
            }
        })
        .await?;
        Ok(suspicion)
    }

    /// Keeps only the ids that still differ.
    async fn look_again(&self, suspicion: &mut Suspicion) -> Result<Tables, VerifyError> {
        let mut still = Vec::new();
        let mut pending = Tables::new(suspicion.shape);
        for ids in suspicion.ids.chunks(BATCH) {
            let found = examine(suspicion.shape, &self.documents, &self.rows, ids).await?;
            for (id, finding) in ids.iter().zip(found) {
                let tables = match finding.differences.is_empty() {
                    true => &mut suspicion.settled,
                    false => &mut pending,
                };
                tables.saw(finding.source.as_ref(), finding.row.as_ref());
                if !finding.differences.is_empty() {
                    still.push(id.clone());
                }
                for difference in finding.differences {
                    pending.file(difference, self.first);
                }
            }
        }
        suspicion.ids = still;
        Ok(suspicion.settled.clone().plus(pending, self.first))
    }
}

/// Not so a document whose _id somebody made by hand, nor any row of it: what the
/// pass saw is the last word on those.
fn can_be_looked_up(id: &str) -> bool {
    id.parse::<shared::Id>().is_ok()
}

const AGAIN: RetryPolicy = RetryPolicy {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(2),
};

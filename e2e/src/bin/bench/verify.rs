//! `outboxctl verify` at size: a million documents, and the rows that `outboxctl replay`
//! makes of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{Pipeline, Servers, Used, binary};
use tokio::process::Command;

use crate::figures::Figures;
use crate::stored;

const DOCUMENTS: usize = 1_000_000;

/// Memory is read so often.
const SAMPLE: Duration = Duration::from_millis(20);

pub async fn measure(servers: &Servers, figures: &mut Figures) {
    let pipeline = Pipeline::start(servers, "size").await;
    stored::write_one_of_each(&pipeline).await;
    pipeline.verify(Duration::from_secs(30)).await;
    let database = stored::database(&pipeline).await;
    println!("verify: {DOCUMENTS} documents are written");
    stored::copy(&database, DOCUMENTS).await;
    for command in ["replay", "verify"] {
        println!("verify: outboxctl {command}");
        let (took, peak) = run(&pipeline, command).await;
        let rate = DOCUMENTS as f64 / took.as_secs_f64();
        let name = format!("outboxctl {command}, a million documents");
        figures.add(&name, "documents/s", None, rate);
        figures.add(
            &format!("{name}: memory at its highest"),
            "MB",
            None,
            peak as f64 / f64::from(1 << 20),
        );
    }
    database.drop().await.expect("cleaned up");
}

/// How long `outboxctl COMMAND` took, and its resident memory at its highest, in bytes.
///
/// # Panics
/// Where it does not succeed: where `verify` finds a difference.
async fn run(pipeline: &Pipeline, command: &str) -> (Duration, u64) {
    let begun = Instant::now();
    let mut outboxctl = Command::new(binary("outboxctl"))
        .arg(command)
        .envs(pipeline.environment())
        .stdin(Stdio::null())
        .spawn()
        .expect("outboxctl runs");
    let mut peak = 0;
    loop {
        let used = outboxctl.id().and_then(|id| Used::of(&id.to_string()));
        peak = peak.max(used.map_or(0, |used| used.peak_memory));
        if let Some(status) = outboxctl.try_wait().expect("its end can be seen") {
            assert!(status.success(), "outboxctl {command}: {status}");
            return (begun.elapsed(), peak);
        }
        tokio::time::sleep(SAMPLE).await;
    }
}

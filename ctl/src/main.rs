//! `outboxctl`: the operator's tool for the outbox pipeline.
//!
//! Every command writes its result to stdout, everything else to stderr, and
//! says with its exit code how it ended; `outboxctl help COMMAND` is the manual.

mod adopt;
mod dlq;
mod load;
mod local;
mod offsets;
mod patience;
mod probe;
mod replay;
mod rest;
mod rewrite;
mod seed;
mod servers;
mod settings;
mod status;
mod table;
mod terminal;
mod trace;
mod transactions;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::process::shutdown_on_signal;

use crate::terminal::Terminal;

/// Operate the outbox pipeline: REST -> MongoDB -> Kafka -> MySQL.
///
/// Settings come from flags and environment variables. In a clone of the repository whose
/// local stack was started, and if neither of them names a server, they come from
/// .stack/env (or STACK_DIR/env), and a line on stderr says so.
#[derive(Debug, Parser)]
#[command(name = "outboxctl", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Log filter for what is written to stderr. librdkafka's own lines are left out
    /// by default: they repeat what the command itself will say.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "warn,librdkafka=off,rdkafka=off",
        global = true
    )]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    Adopt(adopt::AdoptArgs),
    Dlq(dlq::DlqArgs),
    Load(load::LoadArgs),
    Probe(probe::ProbeArgs),
    Replay(replay::ReplayArgs),
    Seed(seed::SeedArgs),
    Status(status::StatusArgs),
    Trace(trace::TraceArgs),
    Transactions(transactions::TransactionsArgs),
    Verify(verify::VerifyArgs),
}

/// As shells report a command that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = local::parse();
    let outcome = async {
        let shutdown = shutdown_on_signal()?;
        // No command has anything to tidy up: what it has done stays done.
        tokio::select! {
            outcome = run(cli) => outcome,
            () = shutdown.cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        }
    };
    match outcome.await {
        Ok(code) => code,
        Err(error) => failed(&*error, 1),
    }
}

fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    // Nothing else is left to be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "outboxctl: {error}");
    ExitCode::from(code)
}

async fn run(cli: Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let terminal = Terminal::default();
    terminal.start_logging(&cli.log)?;
    let mut out = std::io::stdout();
    match cli.command {
        Command::Adopt(args) => match adopt::run(args, &terminal, &mut out).await {
            Ok(code) => Ok(code),
            Err(error) => Ok(failed(&error, adopt::NOT_REACHED)),
        },
        Command::Dlq(args) => {
            dlq::run(args, &mut out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Load(args) => Ok(load::run(args, &terminal, &mut out).await?),
        Command::Probe(args) => {
            probe::run(args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay(args) => Ok(replay::run(args, &terminal, &mut out).await?),
        Command::Seed(args) => {
            seed::run(args, &terminal, &mut out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => Ok(status::run(args, &mut out).await?),
        Command::Trace(args) => Ok(trace::run(args, &mut out).await?),
        Command::Transactions(args) => match transactions::run(args, &mut out).await {
            Ok(code) => Ok(code),
            Err(error) => Ok(failed(&error, transactions::NOT_KNOWN)),
        },
        Command::Verify(args) => match verify::run(args, &terminal, &mut out).await {
            Ok(code) => Ok(code),
            Err(error) => Ok(failed(&error, verify::NOT_COMPARED)),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}

//! `deploy/local/stack`, and the files that it keeps.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

use crate::process::send;

/// Lines of NAME=value.
pub fn read_variables(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

pub fn pid(stack_dir: &Path, server: &str) -> Option<String> {
    let text = std::fs::read_to_string(stack_dir.join("run").join(format!("{server}.pid"))).ok()?;
    Some(text.trim().to_owned())
}

/// Also what a run that was interrupted has left frozen.
pub async fn thaw(stack_dir: &Path, server: &str) {
    if let Some(pid) = pid(stack_dir, server)
        && Path::new("/proc").join(&pid).exists()
    {
        send("CONT", &pid).await;
    }
}

pub async fn run_stack(stack_dir: &Path, arguments: &[&str], settings: &[(&str, &str)]) {
    if let Err(said) = try_stack(stack_dir, arguments, settings).await {
        panic!("stack {arguments:?}: {said}");
    }
}

/// What it prints, or says when it fails.
pub async fn try_stack(
    stack_dir: &Path,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/local/stack");
    let mut command = Command::new(script);
    // The shared set's variables are in our environment: they are not this set's.
    for name in ["MYSQL_HOST", "MYSQL_PORT", "DATABASE_NAME", "KAFKA_CLIENT_ID", "KAFKA_GROUP_ID"] {
        command.env_remove(name);
    }
    command.envs(settings.iter().copied()).env("STACK_DIR", stack_dir);
    let output = command.args(arguments).output().await.expect("deploy/local/stack can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said + &String::from_utf8_lossy(&output.stderr))
    }
}

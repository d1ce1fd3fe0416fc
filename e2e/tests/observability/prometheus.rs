use std::path::PathBuf;
use std::process::Command;

use e2e::Pipeline;
use serde_json::Value;

use crate::project::path;

/// A Prometheus that asks one pipeline's processes for their metrics, each second. Killed
/// when dropped.
pub struct Prometheus {
    stack_dir: PathBuf,
    url: String,
}

impl Prometheus {
    pub fn watching(pipeline: &Pipeline) -> Self {
        let name = pipeline.setting("DATABASE_NAME");
        let stack_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut command = stack(&stack_dir, "start");
        command.env("STACK_PORTS", "free").env("PROMETHEUS_SCRAPE_INTERVAL", "1s");
        for process in ["API", "RELAY", "PROJECTOR"] {
            let address = pipeline.setting(&format!("{process}_ADDR"));
            let port = address.rsplit(':').next().unwrap();
            command.env(format!("{process}_PORT"), port);
        }
        let output = command.output().expect("deploy/local/stack can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let env = std::fs::read_to_string(stack_dir.join("env")).unwrap();
        let url = env.lines().find_map(|line| line.strip_prefix("PROMETHEUS_URL=")).unwrap();
        Self { stack_dir, url: url.to_owned() }
    }

    /// The values that an expression has now.
    ///
    /// # Errors
    /// What Prometheus says about it.
    pub async fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let request = reqwest::Client::new().post(format!("{}/api/v1/query", self.url));
        let answer = request.form(&[("query", expression)]).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let samples = answer["data"]["result"].as_array().unwrap();
        Ok(samples.iter().map(|s| s["value"][1].as_str().unwrap().parse().unwrap()).collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Nothing is left to be done about one that cannot be killed.
        let _ = stack(&self.stack_dir, "wipe").output();
    }
}

fn stack(stack_dir: &PathBuf, command: &str) -> Command {
    let mut stack = Command::new(path("deploy/local/stack"));
    // The shared set's variables are in our environment: they are not this set's.
    for name in ["MYSQL_PORT", "DATABASE_NAME", "KAFKA_CLIENT_ID", "KAFKA_GROUP_ID"] {
        stack.env_remove(name);
    }
    stack.args([command, "prometheus"]).env("STACK_DIR", stack_dir);
    stack
}

//! Every command that README.md and docs/operations.md show is run as it is written, in a
//! shell that has set nothing; every address that they name answers. A new entry of a
//! document is found by itself.
//!
//! The commands meet the servers of the tests, and an api, a relay, a projector and a
//! Prometheus that are started there on free ports. What differs from a reader's machine is
//! [`substituted`]; what cannot run here is on a list with its reason: [`NOT_RUN`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use tokio::process::Command;

const DOCUMENTS: [(&str, &str); 2] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/operations.md", include_str!("../../docs/operations.md")),
];

/// First words by which a command is told from other code.
const PROGRAMS: [&str; 26] = [
    "api",
    "alias",
    "cargo",
    "cat",
    "curl",
    "deploy/local/stack",
    "deploy/local/with-test-servers",
    "docker",
    "export",
    "grep",
    "kafka-transactions.sh",
    "kubectl",
    "make",
    "mongodump",
    "mongorestore",
    "mongosh",
    "mysql",
    "open",
    "outboxctl",
    "projector",
    "promtool",
    "relay",
    "set",
    "source",
    "tail",
    "target/debug/outboxctl",
];

/// Commands that begin like this do not run here.
const NOT_RUN: [(&str, &str); 13] = [
    ("docker ", "there is no container engine"),
    ("kubectl ", "there is no cluster"),
    ("make demo", "it builds, and starts a set of its own on the usual ports"),
    ("make test", "this test is a part of it"),
    ("make chaos", "it takes minutes"),
    ("make bench", "it builds for release, and takes minutes"),
    ("make down", "it would stop the servers of the other tests"),
    ("make up", "it builds, and starts a set of its own"),
    ("deploy/local/stack rules", "`make test` has run it before"),
    ("deploy/local/stack start|stop", "a synopsis"),
    (
        "deploy/local/stack mongo '{\"replSetResizeOplog\"",
        "it would change the other tests' MongoDB",
    ),
    ("deploy/local/stack mongo '{\"delete\": \"outbox_dead\"", "there is no dead event"),
    ("outboxctl load", "it takes half a minute; another test runs it"),
];

/// The line by which the documents make our programs known to a shell.
const PROGRAMS_IN_PATH: &str = "export PATH=$PWD/target/debug:$PATH";
const OURS: [&str; 4] = ["api ", "outboxctl ", "projector ", "relay "];

/// Longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_command_does_what_its_reader_expects() {
    let stack = Stack::start().await;
    let mut failures = Vec::new();
    let mut unused: Vec<&str> = NOT_RUN.iter().map(|(begin, _)| *begin).collect();
    for (document, text) in DOCUMENTS {
        assert!(
            text.contains(PROGRAMS_IN_PATH),
            "{document} does not say how to call our programs"
        );
        for command in commands(text) {
            if let Some((begin, _)) = NOT_RUN.iter().find(|(begin, _)| command.starts_with(begin)) {
                unused.retain(|it| it != begin);
            } else if let Err(why) = stack.run(&command).await {
                failures.push(format!("{document}: {command}\n{why}"));
            }
        }
        for address in addresses(text) {
            if let Err(why) = stack.ask(&address).await {
                failures.push(format!("{document}: {address}\n    {why}"));
            }
        }
    }
    stack.stop().await;
    assert!(
        failures.is_empty(),
        "{}\n\nMend the command, or what it calls. If it cannot run in a test at all, add its \
         beginning and the reason to NOT_RUN in e2e/tests/documented.rs; if it needs a word of \
         the reader's own (an id), add that to `substituted`.",
        failures.join("\n\n")
    );
    assert!(unused.is_empty(), "no document shows these any more, so NOT_RUN need not: {unused:?}");
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences() {
    let text = "a\n\n    outboxctl status   # one\n    not a command\n\nb `make down` `a_metric`, \
                `curl -s localhost:8000/live`\n`deploy/local/stack\nsql`\n```sh\ncurl x\n```\n";
    let expected = [
        "outboxctl status   # one",
        "make down",
        "curl -s localhost:8000/live",
        "deploy/local/stack sql",
        "curl x",
    ];
    let mut found = commands(text);
    found.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
}

/// Once each, in their order: lines of blocks, and code in sentences.
fn commands(text: &str) -> Vec<String> {
    let (mut found, mut prose, mut is_fenced) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if let Some(code) = line.strip_prefix("    ").or(is_fenced.then_some(line)) {
            found.push(code.trim().to_owned());
        } else {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found.retain(|code| is_command(code));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|code| seen.insert(code.clone()));
    found
}

/// A program's name alone is only its name, and three of them are words of every sentence.
fn is_command(code: &str) -> bool {
    match code.split_once(' ') {
        Some(("api" | "projector" | "relay", rest)) => rest.starts_with('-'),
        Some((first, _)) => PROGRAMS.contains(&first),
        None => false,
    }
}

fn addresses(text: &str) -> Vec<String> {
    let found = text.split("http://localhost:").skip(1).map(|rest| {
        let end = rest.find(|c: char| c.is_whitespace() || "`),;>".contains(c));
        format!("http://localhost:{}", &rest[..end.unwrap_or(rest.len())])
    });
    found.collect()
}

/// The servers of the tests with our processes beside them.
struct Stack {
    root: PathBuf,
    folder: String,
    ports: BTreeMap<String, String>,
    event: String,
    letter: u64,
}

const STARTED: [&str; 4] = ["prometheus", "api", "relay", "projector"];

impl Stack {
    async fn start() -> Self {
        let folder = std::env::var("OUTBOX_TEST_STACK").expect("run through with-test-servers");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let mut stack =
            Self { root, folder, ports: BTreeMap::new(), event: String::new(), letter: 0 };
        stack.run(&format!("deploy/local/stack start {}", STARTED.join(" "))).await.unwrap();
        let settings = std::fs::read_to_string(format!("{}/settings", stack.folder)).unwrap();
        let ports = settings.lines().filter_map(|line| line.split_once("_PORT="));
        stack.ports = ports.map(|(name, port)| (name.to_owned(), port.to_owned())).collect();
        stack.prepare().await;
        stack
    }

    /// An event to be traced, and a letter to be looked at.
    async fn prepare(&mut self) {
        let email = format!("{}@example.com", uuid::Uuid::now_v7());
        let user = json!({"email": email, "password": "long enough", "display_name": "Ada"});
        let users = self.substituted("http://localhost:8000/users");
        let created = reqwest::Client::new().post(users).json(&user).send().await.unwrap();
        self.event = created.headers()["x-event-id"].to_str().unwrap().to_owned();

        let brokers = format!("127.0.0.1:{}", self.ports["KAFKA"]);
        let producer: FutureProducer =
            ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        let poison = FutureRecord::to("post").key("nobody").payload("{}");
        producer.send(poison, PATIENCE).await.unwrap();
        let listed = tokio::time::timeout(PATIENCE, async {
            loop {
                let listed = self.run("outboxctl dlq list").await.unwrap();
                let letter =
                    listed.lines().find_map(|it| it.split_whitespace().next()?.parse().ok());
                match letter {
                    Some(letter) => return letter,
                    None => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        self.letter = listed.await.expect("the poison is in no dead letter");
    }

    async fn stop(self) {
        self.run(&format!("deploy/local/stack stop {}", STARTED.join(" "))).await.unwrap();
    }

    /// Runs it as a reader would type it, at the root of the repository.
    async fn run(&self, command: &str) -> Result<String, String> {
        let mut script = String::new();
        if OURS.iter().any(|program| command.starts_with(program)) {
            script = format!("{PROGRAMS_IN_PATH}\n");
        }
        script.push_str(&self.substituted(command));
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(&script).current_dir(&self.root).stdin(Stdio::null()).env_clear();
        for name in ["HOME", "PATH"] {
            bash.env(name, std::env::var_os(name).unwrap_or_default());
        }
        bash.env("STACK_DIR", &self.folder).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, bash.output()).await;
        let output = output.map_err(|_| format!("    no end within {PATIENCE:?}"))?.unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        match output.status.success() && !stderr.contains("command not found") {
            true => Ok(stdout),
            false => Err(format!("    {script}\n    {}\n{stdout}{stderr}", output.status)),
        }
    }

    async fn ask(&self, address: &str) -> Result<(), String> {
        let answer = reqwest::get(self.substituted(address)).await;
        let status = answer.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    }

    fn substituted(&self, command: &str) -> String {
        let usual =
            [("API", "8000"), ("RELAY", "9101"), ("PROJECTOR", "9102"), ("PROMETHEUS", "9090")];
        let mut text = command
            .replace(".stack/log", &format!("{}/log", self.folder))
            .replace("outboxctl trace ID", &format!("outboxctl trace {}", self.event));
        if text.starts_with("outboxctl dlq") {
            text = text.replace("17", &self.letter.to_string());
        }
        for (name, port) in usual {
            if let Some(free) = self.ports.get(name) {
                text = text.replace(&format!("localhost:{port}"), &format!("localhost:{free}"));
            }
        }
        text
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

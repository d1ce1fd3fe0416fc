//! docs/api.md: its examples are run, its tables are complete.

use std::process::Stdio;

use crate::accounts::token_mode;
use crate::database::mongodb_url;
use crate::documented::{DOCUMENT, TOKEN_DOCUMENT};
use crate::harness::{Api, Server};
use crate::surface;

const GUIDE: &str = include_str!("../../../docs/api.md");

/// Before the examples: `curl` notes the status of each answer.
const PRELUDE: &str = r#"set -euo pipefail
curl() {
  local body
  body=$(mktemp "$TMP/XXXXXX")
  command curl --silent --show-error --noproxy '*' --output "$body" --write-out '%{http_code}\n' "$@" >>"$TMP/statuses"
  cat "$body"
}
"#;

/// The shell of the examples, and the statuses that they promise.
fn examples() -> (String, Vec<&'static str>) {
    let mut script = PRELUDE.to_owned();
    let mut statuses = Vec::new();
    for block in GUIDE.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        script.push_str(block);
        let comments = block.lines().filter_map(|line| line.rsplit_once("  # "));
        statuses.extend(comments.map(|(_, status)| status.trim()));
    }
    (script, statuses)
}

#[tokio::test]
async fn the_examples_answer_what_they_say() {
    let api = Api::start().await;
    let name = &api.database.name;
    let tokens = Server::start_with(&mongodb_url(), name, &token_mode(&[])).await;
    tokens.until_ready().await;
    let (script, promised) = examples();
    assert!(promised.len() >= 15, "{promised:?}");
    let script = script.replace("http://localhost:8000", &api.server.address);
    let script = script.replace("http://localhost:8001", &tokens.address);
    let folder = std::env::temp_dir().join(&api.database.name);
    std::fs::create_dir(&folder).unwrap();
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-c").arg(script).env("TMP", &folder).stdin(Stdio::null());
    let output = bash.output().await.unwrap();
    let answered = std::fs::read_to_string(folder.join("statuses")).unwrap_or_default();
    std::fs::remove_dir_all(&folder).unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}\n{shown}");
    assert_eq!(answered.lines().collect::<Vec<_>>(), promised, "{complaint}\n{shown}");
}

#[test]
fn the_tables_are_complete() {
    for (method, path) in surface::routes() {
        assert!(GUIDE.contains(&format!("`{method} {path}`")), "{method} {path} is missing");
    }
    assert!(GUIDE.contains("`POST /auth/login`"));
    let codes = &DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["code"]["enum"];
    for code in codes.as_array().unwrap() {
        assert!(GUIDE.contains(&format!("| `{}` |", code.as_str().unwrap())), "{code} is missing");
    }
    let headers = TOKEN_DOCUMENT["components"]["headers"].as_object().unwrap().keys();
    for header in headers.filter(|name| *name != "Allow") {
        assert!(GUIDE.contains(&format!("`{header}`")), "{header} is missing");
    }
}

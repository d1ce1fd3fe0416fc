//! docs/configuration.md names every setting of a process with its default, and none
//! that it does not have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::Command;

/// The processes that have a chapter in the document.
const DESCRIBED: [&str; 3] = ["api", "relay", "projector"];

/// Each setting with its default.
type Settings = BTreeMap<String, String>;

/// What the process itself says: `[env: NAME=]`, and `[default: VALUE]` after it.
fn known(process: &str) -> Settings {
    let help = Command::new(e2e::binary(process)).arg("--help").env_clear().output().unwrap();
    assert!(help.status.success(), "{process} --help");
    let help = String::from_utf8(help.stdout).unwrap();
    let setting = |text: &str| {
        let (name, rest) = text.split_once(']')?;
        let default = rest.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
        let default = default.map_or("", |(default, _)| default);
        Some((name.trim_end_matches('=').to_owned(), default.to_owned()))
    };
    help.split("[env: ").skip(1).filter_map(setting).collect()
}

/// The rows of the first table in the process's chapter.
fn described(document: &str, process: &str) -> Settings {
    let (_, chapter) = document.split_once(&format!("\n## {process}\n")).expect("its chapter");
    let table = chapter.lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.take_while(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let mut cells =
            line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn every_setting_is_described_and_every_description_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    for process in DESCRIBED {
        let (known, described) = (known(process), described(&document, process));
        assert!(known.len() > 5, "{process} --help is understood: {known:?}");
        assert_eq!(known, described, "{process}: --help on the left, the document on the right");
    }
}

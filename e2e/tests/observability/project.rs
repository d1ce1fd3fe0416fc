//! The files in question.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_yaml_ng::Deserializer;

/// Relative to the root of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files below `folder` whose name ends so, as (path, text).
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"))
    {
        let entry = entry.unwrap();
        let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&name, ending));
        } else if name.ends_with(ending) {
            found.push((name.clone(), text(&name)));
        }
    }
    found.sort();
    found
}

/// The documents of a YAML file.
pub fn yaml(name: &str, text: &str) -> Vec<Value> {
    Deserializer::from_str(text)
        .map(serde::Deserialize::deserialize)
        .map(|parsed| parsed.unwrap_or_else(|error| panic!("{name}: {error}")))
        .filter(|document: &Value| !document.is_null())
        .collect()
}

/// Every rule of every rule file.
pub fn rules() -> Vec<Value> {
    let mut rules = Vec::new();
    for (name, text) in files("deploy/prometheus/rules", ".yml") {
        for file in yaml(&name, &text) {
            for group in file["groups"].as_array().unwrap() {
                rules.extend(group["rules"].as_array().unwrap().iter().cloned());
            }
        }
    }
    assert!(rules.len() > 30, "only {} rules were found", rules.len());
    rules
}

/// The collection that holds the leases is called like a metric.
const NO_METRICS: [&str; 1] = ["relay_leases"];

/// What looks like a metric of ours.
pub fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| {
            ["api_", "http_request", "relay_", "projector_"]
                .iter()
                .any(|ours| word.starts_with(ours))
                && !word.ends_with('_')
                && !NO_METRICS.contains(word)
        })
        .map(str::to_owned)
        .collect()
}

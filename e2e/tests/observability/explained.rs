//! Whoever is woken by an alert finds out what it means and what to do.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::{files, rules, text};

fn alerts() -> Vec<(String, Value)> {
    let named = |rule: Value| Some((rule["alert"].as_str()?.to_owned(), rule));
    let alerts: Vec<_> = rules().into_iter().filter_map(named).collect();
    assert!(alerts.len() > 20, "only {} alerts were found", alerts.len());
    alerts
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on() {
    for (name, alert) in alerts() {
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["warning", "critical"].contains(&severity), "{name}: severity {severity:?}");
        for annotation in ["summary", "description"] {
            let said = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(said.len() > 10, "{name}: {annotation} {said:?}");
        }
        let anchor = format!("docs/operations.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], anchor.as_str(), "{name}");
    }
}

#[test]
fn the_runbook_has_an_entry_for_each_alert_and_for_nothing_else() {
    let runbook = text("docs/operations.md");
    let section = runbook.split("\n## ").find(|section| section.starts_with("When an alert fires"));
    let section = section.expect("operations.md has a section \"When an alert fires\"");
    let entries: Vec<&str> = section.split("\n### ").skip(1).collect();
    let explained: BTreeSet<String> =
        entries.iter().map(|entry| entry.lines().next().unwrap().to_owned()).collect();
    let existing: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(explained, existing, "left: explained, right: existing");
    for entry in entries {
        for part in ["**Means**", "**Look**", "**Do**"] {
            assert!(entry.contains(part), "an entry without {part}: {entry}");
        }
    }
}

#[test]
fn every_alert_is_tested_to_fire_and_to_stay_silent() {
    let tests = text("deploy/prometheus/tests/alerts.yml");
    for (name, _) in alerts() {
        let fires = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        assert!(tests.contains(&fires), "{name} is never seen to fire");
        let silent = format!("{{ alertname: {name}, eval_time: ");
        assert!(tests.contains(&silent), "{name} is never seen to stay silent");
    }
}

#[test]
fn the_guarantees_name_tests_that_exist() {
    let sources: Vec<(String, String)> = ["api", "relay", "projector", "ctl", "e2e", "shared"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect();
    let guarantees = text("docs/guarantees.md");
    let mut named = 0;
    for proof in guarantees.split("**Proven by**").skip(1) {
        let proof = proof.split("\n\n").next().unwrap();
        for name in proof.split('`').filter(|word| word.contains('_') && !word.contains(' ')) {
            let function = format!("fn {name}(");
            let exists = sources.iter().any(|(_, text)| text.contains(&function));
            assert!(exists, "docs/guarantees.md names {name}, which no source has");
            named += 1;
        }
    }
    assert!(named > 25, "only {named} tests were found in docs/guarantees.md");
}

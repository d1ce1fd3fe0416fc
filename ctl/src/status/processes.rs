use reqwest::StatusCode;
use serde::Serialize;

use super::first_line;
use crate::servers::PATIENCE;

/// What the relay's metrics say.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct RelayStatus {
    /// Seconds; absent while the relay itself does not know.
    pub lag_seconds: Option<f64>,
    pub pending_events: Option<f64>,
}

/// Asks a process whether it is ready.
///
/// # Errors
/// In words: not reachable, or up but not ready, with what it waits for.
pub async fn ready(base: &str) -> Result<(), String> {
    let response = get(base, "/ready").await?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let report: serde_json::Value = response.json().await.unwrap_or_default();
    Err(why_not_ready(&report).unwrap_or_else(|| format!("answers {status}")))
}

/// By `/ready`: the dependencies that are not up, each with its reason.
fn why_not_ready(report: &serde_json::Value) -> Option<String> {
    if report["draining"] == true {
        return Some("not ready: it is stopping".to_owned());
    }
    let away = report["dependencies"].as_object()?.iter().filter(|(_, it)| it["state"] != "up");
    let named = away.map(|(name, dependency)| match dependency["reason"].as_str() {
        Some(reason) => format!("{name} ({})", first_line(&reason)),
        None => format!("{name} (not reached yet)"),
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| format!("not ready: waits for {}", named.join(", ")))
}

/// # Errors
/// In words.
pub async fn relay(base: &str) -> Result<RelayStatus, String> {
    let text = get(base, "/metrics").await?.text().await.map_err(|error| error.to_string())?;
    Ok(RelayStatus {
        lag_seconds: metric(&text, "relay_lag_seconds"),
        pending_events: metric(&text, "relay_outbox_pending_events"),
    })
}

async fn get(base: &str, path: &str) -> Result<reqwest::Response, String> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    let response = client.map_err(|error| error.to_string())?.get(url).send().await;
    response.map_err(|error| match error.is_timeout() {
        true => format!("no answer within {} s", PATIENCE.as_secs()),
        false => "not reachable".to_owned(),
    })
}

/// The value of a metric in Prometheus' text format; of several series, the sum.
fn metric(text: &str, name: &str) -> Option<f64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(value).reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_waits_for_is_named_with_the_reason() {
        let report = serde_json::json!({ "draining": false, "dependencies": {
            "kafka": { "state": "down", "reason": "all brokers are down\nand more" },
            "mongodb": { "state": "up" },
            "mysql": { "state": "waiting" },
        } });
        let why = why_not_ready(&report).unwrap();
        assert_eq!(
            why,
            "not ready: waits for kafka (all brokers are down), mysql (not reached yet)"
        );
        assert_eq!(why_not_ready(&serde_json::json!({ "dependencies": {} })), None);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name_and_summed_over_its_labels() {
        let text = "# HELP relay_lag_seconds x\n# TYPE relay_lag_seconds gauge\n\
                    relay_lag_seconds 0.25\nrelay_lag_seconds_max 9\n\
                    pending{topic=\"a b\"} 2\npending{topic=\"c\"} 3\n";
        assert_eq!(metric(text, "relay_lag_seconds"), Some(0.25));
        assert_eq!(metric(text, "pending"), Some(5.0));
        assert_eq!(metric(text, "relay_lag"), None);
    }
}

//! `outboxctl load` against a pipeline: what it sends, and what it says about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Output;
use std::time::Duration;

use e2e::{Pipeline, Servers, eventually};
use serde_json::Value;

/// The report, of a run that could be made at all.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

fn figure(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {report}"))
}

/// Its preparations make no post.
async fn until_it_has_begun(pipeline: &Pipeline) {
    let rows = pipeline.rows();
    eventually("the load has begun", Duration::from_secs(30), async || {
        let found = rows.query("SELECT post_id FROM posts LIMIT 1").await?;
        if found.is_empty() { Err("no post".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_sent_and_answered_and_its_row_seen() {
    let pipeline = Pipeline::start(&Servers::shared(), "load").await;
    let mix = "user=1,supplier=1,product=1,order=1,post=1";
    let arguments = ["load", "--rate", "30", "--duration", "4", "--mix", mix];
    let output = pipeline.outboxctl(&[&arguments[..], &["--json"]].concat()).await;
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["sent"], 120, "{report}");
    let answers = &report["answers"];
    assert_eq!(figure(answers, "/200") + figure(answers, "/201"), 120.0, "{report}");
    for operation in ["edit user", "edit supplier", "edit product", "place order", "write post"] {
        assert!(figure(&report, &format!("/latency/{operation}/count")) > 5.0, "{report}");
    }
    // About 20 a second are followed.
    assert!(figure(&report, "/end_to_end/count") >= 50.0, "{report}");
    assert!(figure(&report, "/end_to_end/p50") >= figure(&report, "/to_mysql/p50"), "{report}");
    assert_eq!(report["unseen"], 0, "{report}");

    let output = pipeline.outboxctl(&arguments).await;
    let (table, progress) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(table.contains("sent 120 at ") && table.contains("request to MySQL row"), "{table}");
    assert!(!table.contains("in flight"), "progress is for stderr: {table} {progress}");
}

/// An API that stalls is charged for all that should have come meanwhile: a load that
/// waited for its answers would have sent one request, and found it slow.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_api_is_charged_for_everything_that_was_due() {
    let pipeline = Pipeline::start(&Servers::shared(), "stall").await;
    let arguments = ["load", "--rate", "50", "--duration", "6", "--mix", "post=1", "--json"];
    let (output, ()) = tokio::join!(pipeline.outboxctl(&arguments), async {
        until_it_has_begun(&pipeline).await;
        pipeline.api.signal("STOP").await;
        // Not a wait for something: the length of the stall is what is tested.
        tokio::time::sleep(Duration::from_secs(3)).await;
        pipeline.api.signal("CONT").await;
    });
    let report = report(&output);
    assert_eq!(report["sent"], 300, "all were sent: {report}");
    assert!(figure(&report, "/latency/all/max") > 2_900.0, "{report}");
    // Half of them were due during the stall, and waited for its end.
    assert!(figure(&report, "/latency/all/p90") > 1_500.0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_goes_away_is_reported_as_no_answer() {
    let mut pipeline = Pipeline::start(&Servers::shared(), "gone").await;
    let arguments = ["load", "--rate", "20", "--duration", "4", "--mix", "post=1", "--json"];
    let environment = pipeline.environment().clone();
    let mut load = tokio::process::Command::new(e2e::binary("outboxctl"));
    load.args(arguments).envs(environment).stdout(std::process::Stdio::piped());
    let load = load.stderr(std::process::Stdio::piped()).spawn().unwrap();
    until_it_has_begun(&pipeline).await;
    pipeline.api.kill().await;
    let output = load.wait_with_output().await.unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["sent"], 80, "{report}");
    assert!(figure(&report, "/answers/0") > 20.0, "0 stands for no answer: {report}");
}

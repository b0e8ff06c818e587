//! The deployed stack: its outputs, and the executions of its state machine. The sandbox executes
//! nothing, so each test ends the execution itself.

use std::process::Child;

use serde_json::{Value, json};

use crate::stage::{
    IMAGE, MACHINE, Stage, TARGETS, begun, end_of, ended, interrupt, saved, saved_with,
};

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let first = ["distribute", "--image", IMAGE];
    first.iter().chain(&TARGETS).chain(more).copied().collect()
}

/// Starts a distribution, and returns its process and the name of its execution.
async fn started(stage: &Stage, more: &[&str]) -> (Child, String) {
    let child = begun(stage.without_bucket(&arguments(more)));
    let (_, arn) = saved_with(stage, "Execution").await;
    (child, name_of(&arn))
}

fn name_of(arn: &Value) -> String {
    let arn = arn.as_str().expect("an ARN");
    arn.rsplit(':').next().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_execution_has_the_request_and_the_ledger_is_that_of_the_stack() {
    let stage = Stage::at_speed(500.0).await;
    let more = ["--no-wait", "--output", "json"];
    let begun = ended(stage.without_bucket(&arguments(&more))).await;
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let name = name_of(&begun.json()["ExecutionArn"]);
    let input = stage.sandbox.execution_input(MACHINE, &name);
    let input: Value = serde_json::from_str(&input.expect("an execution")).expect("JSON");
    assert_eq!(input["Distribute"]["SourceImageId"], IMAGE);
    assert!(name.starts_with(begun.json()["RunId"].as_str().expect("a run")));

    let runs = ended(stage.without_bucket(&["runs"])).await;
    assert_eq!(
        (runs.code, runs.stdout.as_str()),
        (Some(0), "The ledger has no runs.\n")
    );
    let missing = ended(stage.without_bucket(&["runs", "--stack", "other"])).await;
    assert_eq!(missing.code, Some(252), "{missing:?}");
    assert!(missing.stderr.contains("has no stack other"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_is_followed_to_the_reply_that_it_ends_with() {
    let stage = Stage::at_speed(500.0).await;
    let (child, name) = started(&stage, &["--output", "json"]).await;
    let result = json!({"RunId": "0123456789abcdef", "SourceImageId": IMAGE, "Targets": [
        {"AccountId": "222222222222", "Region": "us-west-2", "Status": "Succeeded",
         "ImageId": "ami-00000000"}]});
    assert!(
        stage
            .sandbox
            .succeed_execution(MACHINE, &name, &result.to_string())
    );
    let ended = end_of(child).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.json(),
        json!({"Status": "Succeeded", "Result": result})
    );
    assert!(saved(&stage).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_goes_on_after_ctrl_c_and_tells_its_failure_later() {
    let stage = Stage::at_speed(500.0).await;
    let (child, name) = started(&stage, &[]).await;
    interrupt(&child);
    let left = end_of(child).await;
    assert_eq!(left.code, Some(130), "{left:?}");
    let (run, _) = name.split_once('-').expect("a run");
    let how = format!(
        "the state machine goes on with the run; to follow it again: amiferry resume {run}"
    );
    assert!(left.stderr.contains(&how), "{left:?}");

    let notice = "amiferry PartiallySucceeded: 1 of 2 targets";
    assert!(
        stage
            .sandbox
            .fail_execution(MACHINE, &name, "PartiallySucceeded", notice)
    );
    let ended = ended(stage.without_bucket(&["resume", run])).await;
    assert_eq!((ended.code, ended.stdout), (Some(3), format!("{notice}\n")));
}

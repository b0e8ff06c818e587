//! Runs that CloudFormation waits no longer for: the answer comes in time, and the undoing goes on.

use std::time::Duration;

use amiferry::setup::Settings;
use amiferry_sandbox::Sandbox;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::custom_resource::{Stack, with};
use crate::lives::deregistered;
use crate::lives::executions::with_machine;
use crate::support::*;

/// The ServiceTimeout of the resources, in seconds. The copies take hours.
const TIMEOUT: u64 = 20;

fn properties() -> Value {
    with(
        deregistered(&TWO),
        "ServiceTimeout",
        json!(TIMEOUT.to_string()),
    )
}

/// Asserts that the one answer is a failure that says what goes on.
fn assert_late(sandbox: &Sandbox, since: Instant) {
    let elapsed = since.elapsed();
    assert!(elapsed < Duration::from_secs(TIMEOUT), "{elapsed:?}");
    let [answer] = &sandbox.answers()[..] else {
        panic!("{:?}", sandbox.answers());
    };
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    let reason = answer["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("goes on after the ServiceTimeout"),
        "{reason}"
    );
    assert!(reason.contains("Wait: false"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_function_answers_in_time_and_undoes_in_another_invocation() {
    let stack = Stack::of_sandbox(Sandbox::new(world(&TWO).copy_mib_per_second(0.1)));
    let sandbox = &stack.sandbox;
    let serve = async |event: &Value| {
        let function = function(sandbox).await;
        let (text, invocation) = (event.to_string(), invocation(sandbox));
        function.handle(&text, &invocation).await.expect("serves")
    };
    let since = Instant::now();
    let served = serve(&stack.event("Create", &properties())).await;
    assert_late(sandbox, since);
    assert_eq!(served["Status"], "Continue");
    assert_eq!(
        calls(sandbox, "DeleteSnapshot"),
        0,
        "the copies may not show yet"
    );
    while let Some(own) = sandbox.lambda_invocations().pop() {
        let own: Value = serde_json::from_slice(&own.payload).expect("JSON");
        assert_eq!(own["Answered"], true);
        serve(&own).await;
    }
    assert_eq!(sandbox.answers().len(), 1, "answered once");
    assert_nothing(sandbox, &TWO);
    assert_closed(sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_machine_answers_in_time_and_undoes_when_it_concludes() {
    let stack = Stack::of_sandbox(Sandbox::new(with_machine()));
    let sandbox = &stack.sandbox;
    let settings = Settings {
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    };
    let serve = async |event: &Value| {
        let function = function_with(sandbox, settings.clone()).await;
        let (text, invocation) = (event.to_string(), invocation(sandbox));
        function.handle(&text, &invocation).await.expect("serves")
    };
    let wait = async |reply: &Value| {
        let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    let since = Instant::now();
    let started = serve(&stack.event("Create", &properties())).await;
    let name = started["Execution"].as_str().expect("an execution");
    let job = sandbox.execution_input(MACHINE, name).expect("started");
    let job: Value = serde_json::from_str(&job).expect("JSON");
    let opened = serve(&json!({"Open": job, "Execution": name, "Last": {}})).await;
    let parts = opened["Parts"].as_array().expect("parts").clone();
    let child = async |part: Value| {
        let mut part = json!({"State": part["State"]});
        loop {
            let reply = serve(&part).await;
            part = json!({"State": reply["State"]});
            if reply["Status"] != "Continue" {
                assert_eq!(reply["Status"], "Late");
                return part;
            }
            wait(&reply).await;
        }
    };
    let done = join_all(parts.into_iter().map(child)).await;
    let (mut last, mut done) = (opened, json!(done));
    while sandbox.answers().is_empty() {
        let event = json!({"Conclude": job, "Execution": name, "Last": last, "Parts": done});
        (last, done) = (serve(&event).await, json!([]));
        if sandbox.answers().is_empty() {
            wait(&last).await;
        }
    }
    assert_late(sandbox, since);
    while last["Status"] == "Continue" {
        wait(&last).await;
        last = serve(&json!({"Conclude": job, "Execution": name, "Last": last, "Parts": []})).await;
    }
    assert_eq!(last["Status"], "Failed", "{last}");
    assert_eq!(sandbox.answers().len(), 1, "answered once");
    assert_nothing(sandbox, &TWO);
    assert_closed(sandbox);
}

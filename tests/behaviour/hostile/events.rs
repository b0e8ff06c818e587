//! Events of every shape, made wrong.

use amiferry::event::Event;
use amiferry::event::custom_resource::RequestType;
use amiferry::event::job::{Call, Job};
use amiferry::ids::{AccountId, Region};
use amiferry::request::{Defaults, Request};
use amiferry::setup::Settings;
use amiferry::state::State;
use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use super::mutate::{garble, mutate};
use super::play::{Rng, play};
use super::{is_well_said, nothing_is_public, only_looks, outcome, seeds, tells_no_secret};
use crate::support::*;

#[test]
fn a_mutated_event_is_refused_by_name_before_any_call() {
    seeds::events();
    play("events", 450, |rng| Box::pin(one(rng)));
}

fn settings_of(rng: &mut Rng) -> Settings {
    let mut own = request(&TWO);
    own.as_object_mut()
        .expect("an object")
        .remove("SourceImageId");
    match rng.u8(0..4) {
        0 => Settings {
            state_machine: Some(
                "arn:aws:states:us-west-2:111111111111:stateMachine:amiferry".to_owned(),
            ),
            request: Some(own.to_string()),
            ..settings()
        },
        1 => Settings {
            request: Some(own.to_string()),
            ..settings()
        },
        _ => settings(),
    }
}

async fn one(rng: &mut Rng) -> Result<String, String> {
    let mut event = rng
        .choice(seeds::events())
        .cloned()
        .expect("there are seeds");
    for _ in 0..rng.u8(0..4) {
        mutate(rng, &mut event);
    }
    let mut payload = event.to_string();
    if rng.u8(0..8) == 0 {
        garble(rng, &mut payload);
    }
    let settings = settings_of(rng);
    let with_machine = settings.state_machine.is_some();
    let sandbox = Sandbox::new(world(&TWO));
    let result = function_with(&sandbox, settings)
        .await
        .handle(&payload, &invocation(&sandbox))
        .await;
    let said = |problem: String| {
        let shown: String = payload.chars().take(1500).collect();
        format!("{problem}\nPayload: {shown}\nResult: {result:?}")
    };
    check(&sandbox, &payload, &result, with_machine).map_err(said)?;
    Ok(outcome(&result))
}

fn check(
    sandbox: &Sandbox,
    payload: &str,
    result: &Result<Value, amiferry::error::Error>,
    with_machine: bool,
) -> Result<(), String> {
    nothing_is_public(sandbox)?;
    let ledger = sandbox.ledger();
    match result {
        Ok(reply) => {
            let text = reply.to_string();
            if text.len() > 1024 * 1024 {
                return Err(format!("a reply of {} bytes", text.len()));
            }
            tells_no_secret("a reply", &text)?;
        }
        Err(error) => {
            is_well_said(error)?;
            let refused = matches!(error.error_type(), "InvalidRequest" | "InvalidState");
            if let Some(call) = ledger
                .iter()
                .find(|call| refused && !only_looks(&call.operation))
            {
                return Err(format!("{} was called for a refused event", call.operation));
            }
        }
    }
    // With a state machine the function hands the event on unread, and refuses it there.
    if !with_machine && !is_whole(payload) {
        // For an event with an answer, the function looks for a stored ResponseURL, and retries an
        // answer that is not taken.
        let mut words = ["\"Conclude\"", "ResponseU"].iter();
        let answers = words.any(|word| payload.contains(word));
        let of_answers = |call: &&amiferry_sandbox::Call| {
            // The answer itself is no operation.
            answers && (matches!(&*call.service, "s3" | "lambda") || call.operation.is_empty())
        };
        if let Some(call) = ledger.iter().find(|call| !of_answers(call)) {
            return Err(format!(
                "{} was called for an event that is not whole",
                call.operation
            ));
        }
        let refused = result
            .as_ref()
            .is_err_and(|e| matches!(e.error_type(), "InvalidRequest" | "InvalidState"));
        let answered = ["\"RequestType\"", "\"Conclude\"", "ResponseURL"];
        let answered = answered.iter().any(|word| payload.contains(word));
        if !refused && !answered {
            return Err("taken, although it is not whole".to_owned());
        }
    }
    Ok(())
}

fn defaults() -> Defaults {
    Defaults {
        region: Region::parse(HOME).expect("a Region"),
        account: AccountId::parse(SOURCE).ok(),
    }
}

/// Returns whether every part of the event that the function reads before its first call is valid.
fn is_whole(payload: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(payload) else {
        return false;
    };
    match Event::parse(&value) {
        Err(_) => false,
        Ok(Event::Distribute(words)) => Request::parse(&words, &defaults()).is_ok(),
        Ok(Event::Resume { last, .. }) => State::open(&last["State"]).is_ok(),
        Ok(Event::Turn(turn)) => {
            State::open(&turn.state).is_ok() || turn.state.is_null() && turn.url_at.is_some()
        }
        Ok(Event::CustomResource(resource)) => {
            // The type of the resource decides its mode; either reading is right here.
            resource.request_type == RequestType::Delete || of_either_mode(&resource.properties)
        }
        Ok(Event::Open(call)) => match (Job::parse(&call.job), last(&call)) {
            (Err(_), _) | (_, Some(false)) => false,
            (_, Some(true)) => true,
            (Ok(job), None) => job_is_whole(&job),
        },
        Ok(Event::Conclude(call)) => match last(&call) {
            Some(whole) => whole,
            None => Job::parse(&call.job).is_ok_and(|job| job_is_whole(&job)),
        },
        Ok(_) => true,
    }
}

fn job_is_whole(job: &Job) -> bool {
    match job {
        Job::Distribute(words) => Request::parse(words, &defaults()).is_ok(),
        Job::CustomResource(resource, _) => {
            resource.request_type == RequestType::Delete || of_either_mode(&resource.properties)
        }
    }
}

fn of_either_mode(words: &Value) -> bool {
    use amiferry::request::Mode;
    [Mode::Copy, Mode::Share]
        .into_iter()
        .any(|mode| Request::parse_as(mode, words, &defaults()).is_ok())
}

/// Returns whether the state of the last reply is whole, or `None` without one. A state that is
/// kept elsewhere counts as whole.
fn last(call: &Call) -> Option<bool> {
    match (call.last.get("State"), call.last.get("StateAt")) {
        (Some(state), _) => Some(State::open(state).is_ok()),
        (None, Some(_)) => Some(true),
        (None, None) => None,
    }
}

/// Returns the events that seeds or readers once found, each with the beginning of its refusal.
fn found_once() -> Vec<(Value, &'static str)> {
    let resource = |key: &str, value: Value| {
        let mut event = seeds::events()[1].clone();
        event[key] = value;
        event
    };
    let many = |item: &str, n: usize| vec![item; n].join(",");
    let job = distribute(&TWO);
    let notification = json!({"source": "aws.ec2", "detail-type": "EBS Snapshot Notification",
        "account": "../..", "region": HOME});
    let product = json!({"AmiId": AMI, "TargetAccountIds": many("222222222222", 20_000),
        "TargetKmsKeyIds": many("alias/a", 20_000),
        "TargetRegions": many("us-west-2", 50_000)});
    let fewer = json!({"AmiId": AMI, "TargetAccountIds": many("222222222222", 800),
        "TargetKmsKeyIds": many("alias/a", 800),
        "TargetRegions": many("us-west-2", 800)});
    let url = |url: &str| resource("ResponseURL", json!(url));
    let elsewhere = json!({"CustomResource": seeds::events()[1],
        "ResponseUrlAt": "answers/amiferry-of-another-stack"});
    vec![
        (
            json!({ "Distribute": product }),
            "TargetRegions: has 50000 items",
        ),
        (
            json!({ "Distribute": fewer }),
            "Targets: has 640000 targets",
        ),
        (
            json!({"Open": job, "Execution": "x".repeat(81)}),
            "Execution: ",
        ),
        (
            json!({"Open": job, "Execution": "x,+999999999999"}),
            "Execution: ",
        ),
        (
            json!({"Open": elsewhere, "Execution": "x"}),
            "ResponseUrlAt: ",
        ),
        (url("http://127.0.0.1.example.com/x"), "ResponseURL: "),
        (url("http://127.0.0.1@example.com/x"), "ResponseURL: "),
        (url("https://user:secret@example.com/x"), "ResponseURL: "),
        (url("file:///etc/passwd"), "ResponseURL: "),
        (resource("ResponseURL", json!([])), "ResponseURL: "),
        (resource("ResponseURL", Value::Null), "ResponseURL: "),
        (resource("StackId", json!("x".repeat(1025))), "StackId: "),
        (
            resource("LogicalResourceId", json!("a\u{0}")),
            "LogicalResourceId: ",
        ),
        (json!({"Turn": u64::MAX, "State": {}}), "Turn: "),
        (notification, "account: "),
    ]
}

#[tokio::test(start_paused = true)]
async fn events_that_once_slipped_through_are_refused_by_name() {
    for (event, begin) in found_once() {
        let sandbox = Sandbox::new(world(&TWO));
        let error = match call(&sandbox, &event).await {
            // Such an event never ends in an error: Lambda would put its payload into the dead
            // letters.
            Ok(reply) if event.get("ResponseURL").is_some() => reply,
            Ok(reply) => panic!("{begin}: {reply}"),
            Err(error) => {
                is_well_said(&error).unwrap_or_else(|said| panic!("{said}"));
                json!({"Status": "Failed", "Reason": error.to_string()})
            }
        };
        assert_eq!(error["Status"], "Failed", "{error}");
        assert!(
            error["Reason"]
                .as_str()
                .is_some_and(|said| said.starts_with(begin)),
            "{error}"
        );
        assert_eq!(sandbox.ledger().len(), 0, "{error}");
    }
}

//! Lives of custom resources that do not go as planned: cancelled creations, updates of another
//! nature, accounts that are gone, time-outs.

use std::time::Duration;

use amiferry::event::custom_resource::CustomResource;
use amiferry::setup::Settings;
use amiferry_sandbox::{Fault, Key, LaunchPermission, Sandbox, World};
use serde_json::{Value, json};

use crate::custom_resource::{STACK, Stack, with};
use crate::machine::execute;
use crate::support::*;

mod counted;
pub mod executions;
mod updated;

/// The physical ID that CloudFormation makes up for a resource that never answered.
const ITS_OWN: &str = "golden-image-GoldenImage-1XK2PQ8Z0T4SV";

pub fn deregistered(places: &[Place]) -> Value {
    with(request(places), "OnDelete", json!("Deregister"))
}

fn shared(accounts: &[&str]) -> Value {
    json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": accounts})
}

fn launching(sandbox: &Sandbox) -> Vec<LaunchPermission> {
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    image.launch_permissions.into_iter().collect()
}

fn assert_unshared(sandbox: &Sandbox) {
    assert_eq!(launching(sandbox), []);
    assert_closed(sandbox);
}

pub async fn update(stack: &Stack, created: &Value, old: &Value, new: &Value) -> Value {
    let mut update = stack.event("Update", new);
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = old.clone();
    stack.send(&update).await
}

pub async fn delete(stack: &Stack, id: &str, properties: &Value) -> Value {
    let mut delete = stack.event("Delete", properties);
    delete["PhysicalResourceId"] = json!(id);
    stack.send(&delete).await
}

/// The answer to the Create was lost or late, so CloudFormation deletes by an ID of its own.
#[tokio::test(start_paused = true)]
async fn a_delete_with_an_id_made_by_cloudformation_finds_its_copies() {
    for properties in [deregistered(&TWO), shared(&["222222222222"])] {
        let stack = Stack::new(&TWO);
        let created = stack.send(&stack.event("Create", &properties)).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        let deleted = delete(&stack, ITS_OWN, &properties).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert_nothing(&stack.sandbox, &TWO);
        assert_unshared(&stack.sandbox);
    }
}

/// A resource that never began made nothing, so no account is called.
#[tokio::test(start_paused = true)]
async fn a_resource_that_never_began_is_deleted_without_a_look() {
    let stack = Stack::new(&TWO);
    let deleted = delete(&stack, ITS_OWN, &deregistered(&TWO)).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_eq!(calls(&stack.sandbox, "AssumeRole"), 0);
}

/// Returns an event whose answer nobody reads.
pub fn unread(kind: &str, properties: &Value) -> Value {
    let resource = json!({"RequestType": kind, "StackId": STACK,
        "RequestId": format!("request-{kind}"),
        "LogicalResourceId": "GoldenImage", "PhysicalResourceId": ITS_OWN,
        "ResourceProperties": properties});
    of_resource(&resource)
}

pub fn of_resource(resource: &Value) -> Value {
    let url_at = CustomResource::parse(resource).expect("an event").url_at();
    json!({"Turn": 0, "Answered": false, "CustomResource": resource, "ResponseUrlAt": url_at})
}

/// Serves an event, and each event that the function sends itself, to the end.
pub async fn served(sandbox: &Sandbox, event: Value) {
    let mut payloads = vec![event];
    while let Some(payload) = payloads.pop() {
        drop(call(sandbox, &payload).await);
        let own = sandbox.lambda_invocations().into_iter();
        payloads.extend(own.map(|own| serde_json::from_slice(&own.payload).expect("JSON")));
    }
}

/// A stack's creation is cancelled while its copies are made. The Delete wins, and nothing is left.
#[tokio::test(start_paused = true)]
async fn a_delete_overtakes_a_create_under_way() {
    for (on_delete, after) in [
        ("Deregister", 20),
        ("Retain", 20),
        ("Deregister", 1),
        ("Retain", 1),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let properties = with(request(&TWO), "OnDelete", json!(on_delete));
        let deleting = async {
            tokio::time::sleep(Duration::from_secs(after)).await;
            served(&sandbox, unread("Delete", &properties)).await;
        };
        tokio::join!(served(&sandbox, unread("Create", &properties)), deleting);
        assert_nothing(&sandbox, &TWO);
        assert_closed(&sandbox);
        // Lambda may deliver the Create again: it is the earlier event now.
        served(&sandbox, unread("Create", &properties)).await;
        assert_nothing(&sandbox, &TWO);
        assert_closed(&sandbox);
        let mut objects = sandbox.objects(BUCKET).into_iter();
        let run = objects.find(|(key, _)| key.starts_with("runs/"));
        let run: Value = serde_json::from_slice(&run.expect("a run").1).expect("JSON");
        assert_eq!(
            run["Targets"],
            json!([]),
            "it wants nothing any more: {run}"
        );
    }
}

/// An update that adds an account is cancelled. CloudFormation sends the former properties, and the
/// added copy is undone.
#[tokio::test(start_paused = true)]
async fn an_update_overtakes_an_update_under_way() {
    let sandbox = Sandbox::new(slow_world(&FOUR));
    let one = deregistered(&FOUR[..1]);
    served(&sandbox, unread("Create", &one)).await;
    let image = assert_one_image(&sandbox, FOUR[0]);
    let updating = |new: &Value, old: &Value, id: &str| {
        let mut resource = unread("Update", new)["CustomResource"].clone();
        resource["OldResourceProperties"] = old.clone();
        resource["RequestId"] = json!(id);
        of_resource(&resource)
    };
    let three = deregistered(&FOUR[..3]);
    let back = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        served(&sandbox, updating(&one, &three, "back")).await;
    };
    tokio::join!(served(&sandbox, updating(&three, &one, "forth")), back);
    assert_eq!(assert_one_image(&sandbox, FOUR[0]).image_id, image.image_id);
    assert_nothing(&sandbox, &FOUR[1..3]);
    assert_closed(&sandbox);
}

/// The earlier event ends as overtaken, at whichever step the later one comes.
#[tokio::test(start_paused = true)]
async fn an_overtaken_update_ends_as_overtaken_at_every_step() {
    let (one, two) = (deregistered(&TWO[..1]), deregistered(&TWO));
    for tenths in (0..60).step_by(2) {
        let latency = Duration::from_millis(100);
        let sandbox = Sandbox::new(slow_world(&TWO).latency(latency));
        served(&sandbox, unread("Create", &one)).await;
        let updating = |new: &Value, old: &Value, id: &str| {
            let mut resource = unread("Update", new)["CustomResource"].clone();
            resource["OldResourceProperties"] = old.clone();
            resource["RequestId"] = json!(id);
            of_resource(&resource)
        };
        let back = async {
            tokio::time::sleep(Duration::from_millis(tenths * 100 + 50)).await;
            served(&sandbox, updating(&one, &two, "back")).await;
        };
        let forth = updating(&two, &one, "forth");
        let (ended, ()) = tokio::join!(call(&sandbox, &forth), back);
        // If the later event was accepted first, the earlier one is refused.
        if let Ok(reply) = ended {
            assert_eq!(
                reply["Status"], "Overtaken",
                "after {tenths} tenths: {reply}"
            );
        }
        assert_nothing(&sandbox, &TWO[1..]);
        assert_one_image(&sandbox, TWO[0]);
        assert_closed(&sandbox);
    }
}

/// The resource's own time-out counts from the time at which CloudFormation signed its URL.
#[tokio::test(start_paused = true)]
async fn a_resource_is_answered_before_its_service_time_out() {
    for (timeout, seconds) in [
        (None, 3300),
        (Some("600"), 550),
        (Some("60"), 45),
        (Some("20"), 10),
        (Some("soon"), 3300),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let mut event = unread("Create", &request(&TWO));
        if let Some(timeout) = timeout {
            event["CustomResource"]["ResourceProperties"]["ServiceTimeout"] = json!(timeout);
        }
        event["CustomResource"]["SentAt"] = json!(seconds_of(&sandbox) - 7);
        let job = json!({"CustomResource": event["CustomResource"],
            "ResponseUrlAt": event["ResponseUrlAt"]});
        let opened = call(
            &sandbox,
            &json!({"Open": job, "Execution": "one", "Last": {}}),
        )
        .await;
        let state = &opened.expect("opens")["State"];
        let left =
            state["EndBy"].as_i64().expect("EndBy") - state["Started"].as_i64().expect("Started");
        assert!(
            (seconds - 9..=seconds - 7).contains(&left),
            "{timeout:?}: {left}"
        );
    }
}

fn seconds_of(sandbox: &Sandbox) -> i64 {
    let since = sandbox
        .now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after it").as_secs()).expect("small")
}

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
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_with_an_id_made_by_cloudformation_finds_its_copies() {
    for properties in [deregistered(&TWO), shared(&["222222222222"])] {
        let stack = Stack::new(&TWO).await;
        let created = stack.send(&stack.event("Create", &properties)).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        let deleted = delete(&stack, ITS_OWN, &properties).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert_nothing(&stack.sandbox, &TWO);
        assert_unshared(&stack.sandbox);
    }
}

/// A resource that never began made nothing, so no account is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_never_began_is_deleted_without_a_look() {
    let stack = Stack::new(&TWO).await;
    let deleted = delete(&stack, ITS_OWN, &deregistered(&TWO)).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_eq!(calls(&stack.sandbox, "AssumeRole"), 0);
}

/// Returns an event whose answer nobody reads: no real connection stops the paused clock.
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

#[tokio::test(start_paused = true)]
async fn an_overtaken_execution_ends_without_failing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let properties = request(&TWO);
    let job = |kind: &str| {
        let event = unread(kind, &properties);
        json!({"CustomResource": event["CustomResource"], "ResponseUrlAt": event["ResponseUrlAt"]})
    };
    let (create, end) = (job("Create"), job("Delete"));
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        execute(&sandbox, &end).await
    };
    let (created, deleted) = tokio::join!(execute(&sandbox, &create), deleting);
    assert_eq!(created["Status"], "Overtaken", "{created}");
    assert_eq!(deleted["Status"], "Succeeded", "{deleted}");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// A share becomes copies, and copies become a share: the former way is closed.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_the_mode_closes_the_former_way() {
    let place = [TWO[0]];
    let (copied, given) = (deregistered(&place), shared(&["222222222222"]));
    let stack = Stack::new(&place).await;
    let created = stack.send(&stack.event("Create", &given)).await;
    assert_eq!(launching(&stack.sandbox).len(), 1);
    let updated = update(&stack, &created, &given, &copied).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_whole(&stack.sandbox, &place);
    assert_unshared(&stack.sandbox);

    let stack = Stack::new(&place).await;
    let created = stack.send(&stack.event("Create", &copied)).await;
    let updated = update(&stack, &created, &copied, &given).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_nothing(&stack.sandbox, &place);
    assert_eq!(launching(&stack.sandbox).len(), 1);
    let id = updated["PhysicalResourceId"].as_str().expect("an ID");
    let deleted = delete(&stack, id, &given).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert_unshared(&stack.sandbox);
}

/// The process dies while a share becomes copies. The sweeper closes the share.
#[tokio::test(start_paused = true)]
async fn a_share_killed_while_becoming_copies_is_closed_by_the_sweeper() {
    let place = [TWO[0]];
    let (copied, given) = (deregistered(&place), shared(&["222222222222"]));
    let sandbox = Sandbox::new(slow_world(&place));
    served(&sandbox, unread("Create", &given)).await;
    assert_eq!(launching(&sandbox).len(), 1);
    call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_eq!(launching(&sandbox).len(), 1, "a share lasts");
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangBefore,
        _ => Fault::None,
    });
    let mut resource = unread("Update", &copied)["CustomResource"].clone();
    resource["OldResourceProperties"] = given;
    let event = of_resource(&resource);
    let dying = tokio::time::timeout(Duration::from_mins(1), call(&sandbox, &event));
    assert!(dying.await.is_err(), "it hangs");
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_hours(51)).await;
    for _ in 0..2 {
        call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        tokio::time::sleep(Duration::from_mins(20)).await;
    }
    assert_unshared(&sandbox);
}

/// An account that lost its role, or was closed, does not block a Delete or an Update. The answer
/// says that nobody could look there.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_updated_and_deleted_though_an_account_is_gone() {
    let stack = Stack::new(&FOUR).await;
    let all = deregistered(&FOUR[..3]);
    let created = stack.send(&stack.event("Create", &all)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    stack.sandbox.edit(|aws| {
        assert!(aws.drop_principal("arn:aws:iam::333333333333:role/AmiCopyRole"));
    });
    let two = deregistered(&FOUR[..2]);
    let updated = update(&stack, &created, &all, &two).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    let reason = updated["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("333333333333 us-west-2 could not be looked into"),
        "{reason}"
    );
    let id = created["PhysicalResourceId"].as_str().expect("an ID");
    let deleted = delete(&stack, id, &all).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(
        deleted["Reason"]
            .as_str()
            .expect("a reason")
            .contains("AssumeRole"),
        "{deleted}"
    );
    assert_nothing(&stack.sandbox, &FOUR[..2]);
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

/// The new copy gets a free name if need be. The former copy goes once the new one exists.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_key_or_name_replaces_the_copy() {
    let place = [TWO[0]];
    let other_key = "22222222-aaaa-bbbb-cccc-0000000000ff";
    for (change, on_delete) in [
        (json!({"Name": "{name}-v2"}), "Deregister"),
        (
            json!({"Targets": [{"AccountId": "222222222222", "Region": HOME,
                "KmsKeyId": "alias/other"}]}),
            "Deregister",
        ),
        (json!({"Name": "{name}-v2"}), "Retain"),
    ] {
        let mut world = world(&place);
        let target = world
            .accounts
            .iter_mut()
            .find(|account| account.id == place[0].0);
        target
            .expect("it")
            .keys
            .push(Key::new(HOME, other_key).alias("alias/other"));
        let stack = Stack::of(world).await;
        let old = with(request(&place), "OnDelete", json!(on_delete));
        let created = stack.send(&stack.event("Create", &old)).await;
        let before = assert_one_image(&stack.sandbox, place[0]);
        let mut new = old.clone();
        for (key, value) in change.as_object().expect("an object") {
            new[key] = value.clone();
        }
        let updated = update(&stack, &created, &old, &new).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        assert_eq!(updated["PhysicalResourceId"], created["PhysicalResourceId"]);
        let images = stack.sandbox.images(place[0].0, HOME);
        let result = updated["Data"]["Image.222222222222.us-west-2"].as_str();
        let after = images
            .iter()
            .find(|image| Some(image.image_id.as_str()) == result);
        let after = after.expect("the new image");
        assert_ne!(after.image_id, before.image_id);
        assert_ne!(after.name, before.name);
        assert_eq!(
            images.len(),
            if on_delete == "Retain" { 2 } else { 1 },
            "{change}"
        );
        // The same event once more finds the new copy.
        let mut again = stack.event("Update", &new);
        again["RequestId"] = json!("again");
        again["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
        again["OldResourceProperties"] = old.clone();
        let again = stack.send(&again).await;
        assert_eq!(
            again["Data"]["Images"], updated["Data"]["Images"],
            "{again}"
        );
        assert_closed(&stack.sandbox);
    }
}

/// An execution has answered and is about to end when its event is delivered again.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_again_stores_no_response_url() {
    let stack = Stack::of_sandbox(Sandbox::new(with_machine())).await;
    let settings = Settings {
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    };
    let create = stack.event("Create", &request(&TWO)).to_string();
    for used in [false, true] {
        let function = function_with(&stack.sandbox, settings.clone()).await;
        let served = function.handle(&create, &invocation(&stack.sandbox)).await;
        let name = served.expect("serves")["Execution"].clone();
        let url = format!("answers/{}", name.as_str().expect("an execution"));
        let kept = stack.sandbox.objects(BUCKET).contains_key(&url);
        assert_eq!(kept, !used, "used: {used}");
        stack.sandbox.edit(|aws| aws.delete_object(BUCKET, &url));
    }
}

/// A stopped or timed-out execution answers CloudFormation at once. Its targets are tidied, and its
/// source is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_execution_is_answered_and_leaves_nothing() {
    let stack = Stack::of_sandbox(Sandbox::new(with_machine())).await;
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
    let create = stack.event("Create", &request(&TWO));
    let started = serve(&create).await;
    let name = started["Execution"].as_str().expect("an execution");
    let url = format!("answers/{name}");
    assert!(sandbox.objects(BUCKET).contains_key(&url));
    let execution = sandbox.execution_input(MACHINE, name).expect("started");
    let job: Value = serde_json::from_str(&execution).expect("JSON");
    let opened = serve(&json!({"Open": job, "Execution": name, "Last": {}})).await;
    // The first part has begun its copies, and is never called again.
    let mut short = invocation(sandbox);
    short.deadline = Some(sandbox.now() + Duration::from_secs(15));
    let part = json!({"State": opened["Parts"][0]["State"]});
    let begun = function(sandbox)
        .await
        .handle(&part.to_string(), &short)
        .await;
    assert_eq!(begun.expect("begins")["Status"], "Continue");
    assert_eq!(calls(sandbox, "CopySnapshot"), 2);
    assert!(sandbox.end_execution(MACHINE, name, "ABORTED"));
    let ended = json!({"version": "0", "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change", "region": HOME,
        "detail": {"stateMachineArn": MACHINE, "name": name, "status": "ABORTED"}});
    for _ in 0..2 {
        serve(&ended).await;
        let answers = sandbox.answers();
        assert_eq!(answers.len(), 1, "answered once");
        // The event delivered again stores no URL, which nothing would use.
        serve(&create).await;
        assert!(!sandbox.objects(BUCKET).contains_key(&url));
        let answer: Value = serde_json::from_str(&answers[0].body).expect("JSON");
        assert_eq!(answer["Status"], "FAILED");
        assert!(
            answer["Reason"]
                .as_str()
                .expect("a reason")
                .contains("stopped"),
            "{answer}"
        );
        assert_nothing(sandbox, &TWO);
        assert_closed(sandbox);
    }
}

/// Returns a world with the stack's policies for the function, in which copies take a while.
pub fn with_machine() -> World {
    let mut world = slow_world(&TWO).copy_mib_per_second(0.1);
    let source = world
        .accounts
        .iter_mut()
        .find(|account| account.id == SOURCE);
    let role = function_role()
        .policy(documented("Watch"))
        .policy(documented("Start"));
    source.expect("it").roles = vec![role];
    world.speed(1000.0)
}

/// Two resources of different logical IDs or stacks count on one AMI.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_another_resource_counts_on_is_kept_until_the_last_delete() {
    let place = [TWO[0]];
    for first in ["GoldenImage", "Renamed"] {
        let stack = Stack::new(&place).await;
        let properties = deregistered(&place);
        let send = async |kind: &str, logical: &str, id: Option<&Value>| {
            let mut event = stack.event(kind, &properties);
            event["LogicalResourceId"] = json!(logical);
            event["RequestId"] = json!(format!("{kind}-{logical}"));
            if let Some(id) = id {
                event["PhysicalResourceId"] = id.clone();
            }
            let answer = stack.send(&event).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
            answer
        };
        let one = send("Create", "GoldenImage", None).await;
        let other = send("Create", "Renamed", None).await;
        let image = assert_one_image(&stack.sandbox, place[0]);
        assert_eq!(one["Data"]["Images"], other["Data"]["Images"]);
        let (last, ids) = if first == "GoldenImage" {
            ("Renamed", [&one, &other])
        } else {
            ("GoldenImage", [&other, &one])
        };
        let deleted = send("Delete", first, Some(&ids[0]["PhysicalResourceId"])).await;
        assert_eq!(
            assert_one_image(&stack.sandbox, place[0]).image_id,
            image.image_id
        );
        if first == "GoldenImage" {
            let reason = deleted["Reason"].as_str().expect("a reason");
            let result = format!("{} stays: run ", image.image_id);
            assert!(
                reason.contains(&result) && reason.contains("Renamed"),
                "{reason}"
            );
        }
        send("Delete", last, Some(&ids[1]["PhysicalResourceId"])).await;
        assert_nothing(&stack.sandbox, &place);
        assert_closed(&stack.sandbox);
    }
}

/// A resource does not delete the AMI of a direct call, nor one that another resource has retained.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_keeps_images_of_direct_calls_and_retained_resources() {
    let place = [TWO[0]];
    for retained in [false, true] {
        let stack = Stack::new(&place).await;
        if retained {
            let mut event = stack.event("Create", &request(&place));
            event["LogicalResourceId"] = json!("Retained");
            event["RequestId"] = json!("create-retained");
            let created = stack.send(&event).await;
            event["RequestType"] = json!("Delete");
            event["RequestId"] = json!("delete-retained");
            event["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
            stack.send(&event).await;
        } else {
            let reply = to_the_end(&stack.sandbox, &distribute(&place)).await;
            assert_eq!(reply["Status"], "Succeeded", "{reply}");
        }
        let image = assert_one_image(&stack.sandbox, place[0]);
        let created = stack
            .send(&stack.event("Create", &deregistered(&place)))
            .await;
        let id = created["PhysicalResourceId"].as_str().expect("an ID");
        let deleted = delete(&stack, id, &deregistered(&place)).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert_eq!(
            assert_one_image(&stack.sandbox, place[0]).image_id,
            image.image_id
        );
    }
}

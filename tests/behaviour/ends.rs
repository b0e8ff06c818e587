//! Ends of runs that meet others, or come too early, or do not come: each once left something
//! behind, or said what was not so.

use std::time::Duration;

use amiferry_sandbox::{Fault, Organization, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

const ONE: &str = "222222222222";

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "not you".to_owned(),
    }
}

async fn begun(sandbox: &Sandbox, event: &Value) -> Value {
    let reply = call(sandbox, event).await.expect("begins");
    assert_eq!(reply["Status"], "Continue", "{reply}");
    reply["State"].clone()
}

/// Two runs hold the snapshot for different accounts. The end of the shorter run keeps the openings
/// of the longer one.
#[tokio::test(start_paused = true)]
async fn a_run_with_many_targets_keeps_an_opening_that_a_shorter_run_shared() {
    let many: Vec<Place> = (0..61)
        .map(|n| (&*format!("{}", 600_000_000_000_u64 + n).leak(), HOME))
        .collect();
    let all: Vec<Place> = many.iter().copied().chain([(ONE, HOME)]).collect();
    let sandbox = Sandbox::new(slow_world(&all));
    let long = begun(&sandbox, &distribute(&many)).await;
    let short = to_the_end(&sandbox, &distribute(&[(ONE, HOME)])).await;
    assert_eq!(short["Status"], "Succeeded", "{short}");
    let reply = to_the_end(&sandbox, &json!({ "State": long })).await;
    assert_eq!(reply["Status"], "Succeeded");
    assert_whole(&sandbox, &all);
    assert_closed(&sandbox);
}

/// An update removes a target while the Create is still at work. Both are one run, and its first
/// end closes all it opened.
#[tokio::test(start_paused = true)]
async fn a_run_resumed_with_fewer_targets_closes_all_it_opened() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let long = begun(&sandbox, &distribute(&TWO)).await;
    let mut fewer = long.clone();
    fewer["Targets"].as_array_mut().unwrap().truncate(1);
    to_the_end(&sandbox, &json!({ "State": fewer })).await;
    assert_closed(&sandbox);
    to_the_end(&sandbox, &json!({ "State": long })).await;
    assert_closed(&sandbox);
}

fn organized() -> World {
    let organization =
        Organization::new("o-abcdefghij", SOURCE, "r-ab12").unit("ou-ab12-11111111", "t", "r-ab12");
    let mut world = slow_world(&TWO).organization(organization);
    world.accounts[0].parent = Some("r-ab12".to_owned());
    for target in &mut world.accounts[1..] {
        target.parent = Some("ou-ab12-11111111".to_owned());
    }
    world
}

/// An execution that names a unit does not know its targets before its opening has listed them.
#[tokio::test(start_paused = true)]
async fn an_execution_for_a_unit_fails_when_its_opening_fails() {
    let job = json!({"Distribute": {"SourceImageId": AMI,
        "OrganizationalUnitIds": ["ou-ab12-11111111"],
        "TargetKmsKeyIds": "alias/amis"}});
    let sandbox = Sandbox::new(organized());
    sandbox.set_fault(|call| match call.service.as_str() {
        "organizations" => refuse(400, "AccessDeniedException"),
        _ => Fault::None,
    });
    let reply = crate::machine::execute(&sandbox, &job).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let reason = reply["Result"]["Reason"].as_str().unwrap();
    assert!(reason.contains("AccessDenied"), "{reason}");

    // This execution dies with the source open.
    let sandbox = Sandbox::new(organized());
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CreateGrant" => Fault::HangAfter,
        _ => Fault::None,
    });
    let event = json!({"Open": job, "Execution": "run-1"});
    let opening = tokio::time::timeout(Duration::from_secs(15), call(&sandbox, &event)).await;
    assert!(opening.is_err(), "it hangs");
    sandbox.clear_fault();
    let failed = json!({"Error": "Sandbox.Timedout", "Cause": "the function died"});
    let mut last = json!({});
    let ended = loop {
        let event = json!({"Conclude": job, "Execution": "run-1", "Last": last, "Parts": [],
            "Failed": failed});
        last = call(&sandbox, &event).await.expect("concludes");
        if last["Status"] != "Continue" {
            break last;
        }
        tokio::time::sleep(Duration::from_secs(last["WaitSeconds"].as_u64().unwrap())).await;
    };
    assert_eq!(ended["Status"], "Failed", "{ended}");
    assert_closed(&sandbox);
}

/// Lambda would deliver a turn that fails again, and each delivery would invoke the function once
/// more.
#[tokio::test(start_paused = true)]
async fn a_turn_that_cannot_answer_invokes_the_function_once() {
    let sandbox = Sandbox::new(world(&TWO));
    let state = begun(&Sandbox::new(slow_world(&TWO)), &distribute(&TWO)).await;
    let resource = json!({"RequestType": "Create", "ResponseURL": "http://127.0.0.1:1/nobody",
        "StackId": crate::custom_resource::STACK,
        "RequestId": "r", "LogicalResourceId": "GoldenImage",
        "ResourceType": "Custom::AmiDistribution", "ResourceProperties": request(&TWO)});
    let event = json!({"State": state, "Answered": false, "Turn": 3, "CustomResource": resource});
    call(&sandbox, &event)
        .await
        .expect("no error: that would deliver it again");
    assert_eq!(sandbox.lambda_invocations().len(), 1);
}

/// The end of a run and the sweeper stop the executions that the ledger names.
#[tokio::test(start_paused = true)]
async fn the_ledger_lists_every_execution_that_works_on_a_run() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    for (execution, named) in [
        ("first", json!(["first"])),
        ("second", json!(["first", "second"])),
    ] {
        let event = json!({"Open": distribute(&TWO), "Execution": execution});
        call(&sandbox, &event).await.expect("opens");
        let run = only_run(&sandbox);
        assert_eq!(run["Executions"], named);
        assert_eq!(run["Calls"], Value::Null);
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
    call(&sandbox, &distribute(&TWO)).await.expect("joins");
    assert_eq!(only_run(&sandbox)["Calls"], true);
}

/// Returns the object of the only run.
fn only_run(sandbox: &Sandbox) -> Value {
    let mut runs = sandbox.objects(BUCKET).into_iter();
    let run = runs
        .find(|(key, _)| key.starts_with("runs/"))
        .expect("a run");
    serde_json::from_slice(&run.1).expect("JSON")
}

/// AWS takes calls and never answers, and the function's time ends before the SDK's patience, so
/// the SDK counts no attempt.
#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_fails_and_the_run_ends() {
    for operation in ["DescribeKey", "CopySnapshot", "RegisterImage", "AssumeRole"] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault(move |call| {
            let there = call.account == ONE || call.params.values().any(|v| v.contains(ONE));
            if there && call.operation == operation {
                Fault::HangBefore
            } else {
                Fault::None
            }
        });
        let odd = Odd {
            timeout: Duration::from_mins(1),
            skew: 0,
            attempts: 3,
        };
        let mut event = distribute(&TWO);
        for n in 0.. {
            assert!(n < 120, "{operation}: it does not end");
            let reply = call_odd(&sandbox, &event, odd).await.expect("a reply");
            if reply["Status"] != "Continue" {
                assert_eq!(
                    reply["Status"], "PartiallySucceeded",
                    "{operation}: {reply}"
                );
                assert_eq!(target(&reply, TWO[0])["Cause"], "Unreachable");
                break;
            }
            tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
            event = json!({"State": reply["State"]});
        }
        assert_whole(&sandbox, &TWO[1..]);
        assert_nothing(&sandbox, &TWO[..1]);
        assert_closed(&sandbox);
    }
}

/// The only target does not answer the first look, and its part fails before the source was opened
/// to it.
#[tokio::test(start_paused = true)]
async fn a_part_that_was_never_opened_to_fails_and_the_source_is_closed() {
    let sandbox = Sandbox::new(slow_world(&TWO[..1]));
    let count = std::sync::atomic::AtomicUsize::new(0);
    sandbox.set_fault(move |call| {
        let order = std::sync::atomic::Ordering::SeqCst;
        if call.operation != "AssumeRole" {
            return Fault::None;
        }
        match count.fetch_add(1, order) {
            0..3 => refuse(503, "ServiceUnavailable"),
            _ => refuse(403, "AccessDenied"),
        }
    });
    let reply = crate::machine::execute(&sandbox, &distribute(&TWO[..1])).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert_closed(&sandbox);
}

/// The organization gets its launch permission before a snapshot refuses its opening. The failed
/// audience must not keep half of its openings.
#[tokio::test(start_paused = true)]
async fn a_refused_audience_keeps_no_launch_permission() {
    let sandbox = Sandbox::new(organized());
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DescribeSnapshotAttribute" => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let share = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share",
        "OrganizationId": "o-abcdefghij", "ShareSnapshots": true}});
    let reply = to_the_end(&sandbox, &share).await;
    assert_eq!(reply["Result"]["Audience"]["Status"], "Failed", "{reply}");
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert!(image.launch_permissions.is_empty(), "{image:?}");
}

/// Two stacks share an image with one account, and are deleted at the same moment. Neither leaves
/// the permission to the other.
#[tokio::test(start_paused = true)]
async fn two_shares_closed_at_once_leave_nothing_open() {
    // Writes show at once, or late.
    for late in [0, 8] {
        let world = world(&TWO).latency(Duration::from_millis(200));
        let sandbox = Sandbox::new(world.tag_delay(Duration::from_secs(late)));
        let event = |name: &str, kind: &str, id: &str| {
            json!({"RequestType": kind, "ResponseURL": "http://127.0.0.1:1/nobody",
                "StackId": crate::custom_resource::STACK,
                "RequestId": "r", "LogicalResourceId": name, "PhysicalResourceId": id,
                "ResourceType": "Custom::ShareAutomation",
                "ResourceProperties": {"AmiId": AMI, "TargetAccountId": ONE,
                "ShareSnapshots": true}})
        };
        let holders = || {
            let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
            let objects = sandbox.objects(BUCKET);
            let record = objects.get(&format!("openings/{AMI}.json"));
            let record = record.map_or(Value::Null, |r| serde_json::from_slice(r).expect("JSON"));
            let attempts = record["Holders"].as_object().into_iter().flatten();
            let runs = attempts.filter_map(|(attempt, _)| attempt.split('.').next());
            (
                runs.map(str::to_owned).collect::<Vec<_>>(),
                image.launch_permissions.len(),
            )
        };
        // The ResponseURL takes no answer; all else succeeds.
        let mut runs = Vec::new();
        for name in ["One", "Other"] {
            let created = call(&sandbox, &event(name, "Create", "")).await;
            created.expect("another invocation answers");
            tokio::time::sleep(Duration::from_mins(1)).await;
            let new = holders().0.into_iter().find(|run| !runs.contains(run));
            runs.push(new.expect("a holder"));
        }
        assert_eq!(holders().1, 1);
        let names = ["One", "Other"].into_iter().zip(&runs);
        let deletes: Vec<Value> = names
            .map(|(name, run)| event(name, "Delete", &format!("amiferry-{run}")))
            .collect();
        let deleting = deletes.iter().map(|event| call(&sandbox, event));
        futures::future::join_all(deleting).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(holders(), (Vec::new(), 0), "late by {late}");
        assert_closed(&sandbox);
    }
}

/// Sends a custom resource's event whose ResponseURL takes no answer. All else must succeed.
async fn resource(sandbox: &Sandbox, kind: &str, id: &str, properties: &Value) {
    let event = json!({"RequestType": kind, "ResponseURL": "http://127.0.0.1:1/nobody",
        "StackId": crate::custom_resource::STACK,
        "RequestId": "r", "LogicalResourceId": "GoldenImage", "PhysicalResourceId": id,
        "ResourceType": "Custom::AmiDistribution",
        "ResourceProperties": properties});
    let reply = call(sandbox, &event).await;
    reply.expect("another invocation answers");
}

/// Another run began the copies and stopped. The image that this run made of them goes with its
/// resource.
#[tokio::test(start_paused = true)]
async fn a_delete_deregisters_an_image_that_stands_on_another_runs_copies() {
    let places = &TWO[..1];
    let sandbox = Sandbox::new(slow_world(places));
    begun(&sandbox, &distribute(places)).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    let mut properties = request(places);
    properties["OnDelete"] = json!("Deregister");
    resource(&sandbox, "Create", "", &properties).await;
    let image = assert_one_image(&sandbox, TWO[0]);
    let run = &image.tags["amiferry:run"];
    let snapshots = sandbox.snapshots(TWO[0].0, TWO[0].1);
    assert!(snapshots.iter().all(|s| s.tags["amiferry:run"] != *run));
    resource(&sandbox, "Delete", &format!("amiferry-{run}"), &properties).await;
    assert_nothing(&sandbox, places);
}

/// The function may lack the permission to list the grants of a key that it never opened.
#[tokio::test(start_paused = true)]
async fn a_delete_lists_no_grants_of_keys_that_were_never_opened() {
    let places = &TWO[..1];
    let world = world_with(crate::staging::under_aws_ebs(2), places);
    let sandbox = Sandbox::new(world.copy_mib_per_second(4096.0));
    let mut properties = request(places);
    properties["OnDelete"] = json!("Deregister");
    properties["ReencryptKmsKeyId"] = json!(crate::staging::SHARED_KEY);
    resource(&sandbox, "Create", "", &properties).await;
    let image = assert_one_image(&sandbox, TWO[0]);
    let managed = sandbox.snapshots(SOURCE, HOME)[0].kms_key_arn.clone();
    let managed = managed.expect("encrypted");
    let before = sandbox.ledger().len();
    let id = format!("amiferry-{}", image.tags["amiferry:run"]);
    resource(&sandbox, "Delete", &id, &properties).await;
    assert_nothing(&sandbox, places);
    let calls = sandbox.ledger().split_off(before);
    let asked = calls.iter().filter(|call| call.operation == "ListGrants");
    let mut asked = asked.filter_map(|call| call.params.get("KeyId"));
    assert!(asked.all(|key| *key != managed), "{managed}");
}

/// Another process ends the run while this one opens the source. The slow call permits after the
/// closing, and closes again: the record says that its attempt is closed, or cannot be read.
#[tokio::test(start_paused = true)]
async fn an_opening_made_after_its_closing_is_closed_again() {
    for blind in [false, true] {
        let sandbox = Sandbox::new(slow_world(&TWO[..1]));
        let began = sandbox.now();
        sandbox.set_fault(move |call| {
            let adds = call.params.get("OperationType").is_some_and(|o| o == "add");
            let seconds = call.at.duration_since(began).unwrap_or_default().as_secs();
            match call.operation.as_str() {
                _ if adds && seconds < 60 => Fault::Delay(Duration::from_secs(12)),
                "GetObject" if blind && (11..30).contains(&seconds) => refuse(503, "SlowDown"),
                _ => Fault::None,
            }
        });
        let job = distribute(&TWO[..1]);
        let concluding = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let failed = json!({"Error": "States.Aborted", "Cause": "somebody stopped it"});
            let mut last = json!({});
            loop {
                let event = json!({"Conclude": job, "Execution": "run-1", "Last": last, "Parts": [],
                    "Failed": failed});
                last = call(&sandbox, &event).await.expect("concludes");
                if last["Status"] != "Continue" {
                    return last;
                }
                let seconds = last["WaitSeconds"].as_u64().expect("WaitSeconds");
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        };
        let executing = crate::machine::execute(&sandbox, &job);
        let (executed, ended) = tokio::join!(executing, concluding);
        assert_eq!(
            (&executed["Status"], &ended["Status"]),
            (&json!("Failed"), &json!("Failed"))
        );
        assert_closed(&sandbox);
    }
}

/// A process that joins a closing may remove more than the process that announced it, and buries
/// all of it. The first process leaves the record to it.
#[tokio::test(start_paused = true)]
async fn a_closing_joined_by_another_process_is_finished_by_it() {
    let sandbox = Sandbox::new(world(&[(ONE, HOME)]));
    sandbox.set_fault(|call| {
        if removes(call) && call.params.values().any(|value| value == ROOT) {
            Fault::Delay(Duration::from_secs(10))
        } else {
            Fault::None
        }
    });
    let key = format!("openings/{ROOT}.json");
    let joining = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let there = sandbox.objects(BUCKET).remove(&key).unwrap_or_default();
            let mut record: Value = serde_json::from_slice(&there).unwrap_or_default();
            let revision = record["Revision"].as_u64();
            let Some(closing) = record["Closing"].as_object_mut().filter(|c| !c.is_empty()) else {
                continue;
            };
            for closing in closing.values_mut() {
                closing["By"] = json!("another");
            }
            record["Revision"] = json!(revision.expect("a number") + 1);
            sandbox.edit(|aws| assert!(aws.put_object(BUCKET, &key, record.to_string())));
            return;
        }
    };
    let event = distribute(&[(ONE, HOME)]);
    tokio::join!(to_the_end(&sandbox, &event), joining);
    let record: Value = serde_json::from_slice(&sandbox.objects(BUCKET)[&key]).expect("JSON");
    let mut closing = record["Closing"]
        .as_object()
        .into_iter()
        .flat_map(|c| c.values());
    assert!(
        closing.any(|closing| closing["By"] == "another"),
        "{record}"
    );
}

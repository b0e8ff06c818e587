//! An execution of the state machine, played by hand: Open, a child for each part, Conclude. Each
//! call is retried as the machine retries it. The real machine is run by tests/fabric.

use std::time::Duration;

use amiferry::error::Error;
use amiferry_sandbox::{Fault, Sandbox};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::custom_resource::Stack;
use crate::support::*;

/// The number of times that a call is retried.
const RETRIES: usize = 12;

/// Calls a task as the state machine does: it retries calls that died and errors that may pass.
async fn task(sandbox: &Sandbox, event: &Value) -> Result<Value, String> {
    let mut said = String::new();
    for attempt in 0..RETRIES {
        tokio::time::sleep(Duration::from_secs(attempt as u64 * 5)).await;
        let dead = Duration::from_mins(16);
        let mut event = event.clone();
        if event.get("State").is_some() {
            event["Retries"] = json!(attempt);
        }
        match tokio::time::timeout(dead, call(sandbox, &event)).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error @ (Error::Throttled(_) | Error::Internal(_)))) => said = error.to_string(),
            Ok(Err(error)) => return Err(format!("{}: {error}", error.error_type())),
            Err(_) => "Sandbox.Timedout".clone_into(&mut said),
        }
    }
    Err(said)
}

async fn wait(reply: &Value) {
    let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn open(sandbox: &Sandbox, job: &Value) -> (Value, Value) {
    let mut last = json!({});
    loop {
        let event = json!({"Open": job, "Execution": "run-1", "Last": last});
        match task(sandbox, &event).await {
            Ok(reply) if reply["Status"] == "Continue" => {
                wait(&reply).await;
                last = reply;
            }
            Ok(reply) => return (reply, json!({})),
            Err(said) => return (last, json!({"Error": "Caught", "Cause": said})),
        }
    }
}

async fn child(sandbox: &Sandbox, part: &Value) -> Value {
    let mut state = part["State"].clone();
    loop {
        match task(sandbox, &json!({"State": state})).await {
            Ok(reply) => {
                state = reply["State"].clone();
                assert_eq!(state["Part"], true);
                if reply["Status"] != "Continue" {
                    return json!({"State": state});
                }
                wait(&reply).await;
            }
            Err(said) => {
                return json!({"State": state, "Error": {"Error": "Caught", "Cause": said}});
            }
        }
    }
}

async fn conclude(
    sandbox: &Sandbox,
    job: &Value,
    last: Value,
    parts: Value,
    failed: &Value,
) -> Value {
    let (mut last, mut parts) = (last, parts);
    loop {
        let event = json!({"Conclude": job, "Execution": "run-1", "Last": last, "Parts": parts,
            "Failed": failed});
        let reply = task(sandbox, &event)
            .await
            .expect("concluding is retried until it works");
        if reply["Status"] != "Continue" {
            assert!(reply["Notice"]["Subject"].as_str().unwrap().len() <= 100);
            let told = format!("Distribution {}", reply["Status"].as_str().unwrap());
            assert_eq!(reply["Event"]["DetailType"], told);
            assert_eq!(reply["Event"]["Detail"]["Status"], reply["Status"]);
            return reply;
        }
        wait(&reply).await;
        (last, parts) = (reply, json!([]));
    }
}

/// Plays one execution from its input to its end.
pub async fn execute(sandbox: &Sandbox, job: &Value) -> Value {
    let (opened, failed) = open(sandbox, job).await;
    let parts = opened["Parts"].as_array().cloned().unwrap_or_default();
    let done = join_all(parts.iter().map(|part| child(sandbox, part))).await;
    conclude(sandbox, job, opened, json!(done), &failed).await
}

#[tokio::test(start_paused = true)]
async fn an_execution_gives_each_target_a_part_and_closes_the_source() {
    let sandbox = Sandbox::new(slow_world(&FOUR));
    let reply = execute(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &FOUR);
    assert_closed(&sandbox);
    let result = reply["Notice"]["Message"].as_str().unwrap();
    for (account, region) in FOUR {
        assert!(
            result.contains(&format!("{account} {region}: ami-")),
            "{result}"
        );
    }
    // The opening shares once for all parts.
    assert_eq!(
        calls(&sandbox, "ModifySnapshotAttribute"),
        4,
        "two snapshots, opened and closed"
    );

    // The same execution again finds every image, and opens nothing.
    let again = execute(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(again["Result"], reply["Result"]);
    assert_eq!(calls(&sandbox, "ModifySnapshotAttribute"), 4);
}

/// A failing account gets no opening, and does not stop the others.
#[tokio::test(start_paused = true)]
async fn a_failed_part_leaves_the_other_parts_alone() {
    let sandbox = Sandbox::new(slow_world(&FOUR));
    sandbox.edit(|aws| assert!(aws.drop_principal("arn:aws:iam::444444444444:role/AmiCopyRole")));
    let reply = execute(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    assert_whole(&sandbox, &FOUR[..3]);
    assert_closed(&sandbox);
    let result = reply["Notice"]["Message"].as_str().unwrap();
    assert!(result.contains("create the role AmiCopyRole"), "{result}");
}

/// Children are lost, before or after their copies started. The conclusion undoes their work, and
/// closes the source.
#[tokio::test(start_paused = true)]
async fn lost_parts_are_undone_and_the_source_is_closed() {
    for lost in [
        json!([]),
        json!([null, {"Cause": "?"}]),
        json!({"anything": "else"}),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let job = distribute(&TWO);
        let (opened, failed) = open(&sandbox, &job).await;
        assert_eq!(opened["Parts"].as_array().unwrap().len(), 2);
        let part = json!({"State": opened["Parts"][0]["State"]});
        let started = call(&sandbox, &part).await.expect("a reply");
        assert_eq!(started["Status"], "Continue");
        assert_eq!(
            sandbox.snapshots("222222222222", HOME).len(),
            2,
            "copies are under way"
        );
        let reply = conclude(&sandbox, &job, opened, lost, &failed).await;
        assert_eq!(reply["Status"], "Failed", "{reply}");
        let reason = target(&reply, TWO[0])["Reason"].as_str().unwrap();
        assert!(reason.contains("ended its part"), "{reason}");
        assert_nothing(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
}

/// The execution is stopped and the source swept while a child is at work. The child opens nothing.
#[tokio::test(start_paused = true)]
async fn a_part_of_an_ended_run_opens_nothing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let job = distribute(&TWO);
    let (opened, _) = open(&sandbox, &job).await;
    let part = json!({"State": opened["Parts"][0]["State"]});
    let started = call(&sandbox, &part).await.expect("a reply");
    assert_eq!(started["Status"], "Continue");
    conclude(&sandbox, &job, opened.clone(), json!([]), &json!({})).await;
    assert_closed(&sandbox);
    let late = child(&sandbox, &json!({"State": started["State"]})).await;
    let target = &late["State"]["Targets"][0];
    assert_eq!(target["Phase"], "Failed", "{late}");
    // A part that forgot its opening opens nothing either.
    let mut forgetful = started["State"].clone();
    forgetful["Targets"][0]["Shared"] = json!(false);
    let late = child(&sandbox, &json!({"State": forgetful})).await;
    let reason = late["State"]["Targets"][0]["Failure"]["Reason"].as_str();
    assert!(reason.unwrap().contains("is over"), "{late}");
    assert_closed(&sandbox);
    assert_nothing(&sandbox, &TWO);
}

/// A target that does not answer while the source is opened gets its opening from its part.
#[tokio::test(start_paused = true)]
async fn a_target_that_answers_late_is_opened_to_by_its_part() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let denied = std::sync::atomic::AtomicUsize::new(0);
    sandbox.set_fault(move |call| {
        let throttled = call.operation == "AssumeRole"
            && denied.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 8;
        if throttled {
            Fault::Refuse {
                status: 400,
                code: "Throttling".to_owned(),
                message: "Rate exceeded".to_owned(),
            }
        } else {
            Fault::None
        }
    });
    let reply = execute(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// The part adds its own account to the statements of the execution, whose conclusion removes all
/// of them.
#[tokio::test(start_paused = true)]
async fn a_late_part_adds_its_account_to_the_key_policy() {
    let sandbox = Sandbox::new(crate::key_policy::editing_world(&TWO).copy_mib_per_second(250.0));
    let before = key_policy(&sandbox).await;
    let (count, world) = (std::sync::atomic::AtomicUsize::new(0), sandbox.clone());
    let both = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = both.clone();
    sandbox.set_fault(move |call| {
        if call.operation == "CopySnapshot" && crate::key_policy::named(&world).len() == 2 {
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        let late = call.operation == "AssumeRole" && call.params["RoleArn"].contains(TWO[1].0);
        if late && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 8 {
            return Fault::Refuse {
                status: 400,
                code: "Throttling".to_owned(),
                message: "Rate exceeded".to_owned(),
            };
        }
        Fault::None
    });
    let reply = execute(&sandbox, &crate::key_policy::by_policy(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(
        both.load(std::sync::atomic::Ordering::SeqCst),
        "both are in"
    );
    assert_whole(&sandbox, &TWO);
    crate::key_policy::assert_ended(&sandbox, &before).await;
}

/// The child finished, but its output was lost. The image is found and kept.
#[tokio::test(start_paused = true)]
async fn an_image_made_by_a_lost_part_is_kept() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let job = distribute(&TWO);
    let (opened, failed) = open(&sandbox, &job).await;
    for part in opened["Parts"].as_array().unwrap() {
        child(&sandbox, part).await;
    }
    let reply = conclude(&sandbox, &job, opened, json!([]), &failed).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// The state machine repeats each task after a kill, before or after any call.
#[tokio::test(start_paused = true)]
async fn an_execution_killed_at_any_call_succeeds() {
    for fault in [Fault::HangAfter, Fault::ResetBefore] {
        for n in 0.. {
            let sandbox = Sandbox::new(world(&TWO));
            crate::resume::hang(&sandbox, n, fault.clone());
            let reply = execute(&sandbox, &distribute(&TWO)).await;
            assert_eq!(reply["Status"], "Succeeded", "cut at {n}: {reply}");
            assert_whole(&sandbox, &TWO);
            assert_closed(&sandbox);
            if n > sandbox.ledger().len() {
                println!("{n} cuts");
                break;
            }
        }
    }
}

/// The opening dies at every call before it returns a state. The ledger names its openings.
#[tokio::test(start_paused = true)]
async fn an_execution_whose_opening_dies_at_any_call_leaves_nothing_open() {
    for n in 0.. {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault({
            let count = std::sync::atomic::AtomicUsize::new(0);
            move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                before if before < n => Fault::None,
                _ => Fault::HangAfter,
            }
        });
        let job = distribute(&TWO);
        let event = json!({"Open": job, "Execution": "run-1"});
        // This kill comes before the SDK would give the call up.
        let opened = tokio::time::timeout(Duration::from_secs(15), call(&sandbox, &event)).await;
        sandbox.clear_fault();
        let last = match opened {
            Ok(Ok(reply)) if reply["Status"] == "Opened" => {
                println!("{n} deaths");
                assert!(n > 15, "{n} calls are too few");
                break;
            }
            Ok(Ok(reply)) => reply,
            _ => json!({}),
        };
        let failed = json!({"Error": "Sandbox.Timedout", "Cause": "the function died"});
        let reply = conclude(&sandbox, &job, last, json!([]), &failed).await;
        assert_eq!(reply["Status"], "Failed", "died at {n}: {reply}");
        assert_closed(&sandbox);
        assert_nothing(&sandbox, &TWO);
    }
}

/// The conclusion closed the source, and its reply was lost. No record names the preexisting
/// permissions any more; they stay.
#[tokio::test(start_paused = true)]
async fn a_second_conclusion_keeps_preexisting_permissions() {
    for access in ["Grant", "Policy", "None"] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.edit(|aws| [ROOT, DATA].map(|id| assert!(aws.share_snapshot(id, TWO[0].0))));
        let mut job = distribute(&TWO);
        job["Distribute"]["KeyAccess"] = json!(access);
        let failed = json!({"Error": "Sandbox.Timedout", "Cause": "the function died"});
        for _ in 0..2 {
            let reply = conclude(&sandbox, &job, json!({}), json!([]), &failed).await;
            assert_eq!(reply["Status"], "Failed", "{reply}");
            let snapshots = sandbox.snapshots(SOURCE, HOME);
            let permitted = |s: &amiferry_sandbox::Snapshot| s.create_volume_permissions.len();
            assert!(snapshots.iter().all(|s| permitted(s) == 1), "{access}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_input_of_an_execution_fails_by_name() {
    let sandbox = Sandbox::new(world(&TWO));
    for (job, said) in [
        (json!({}), "execution input"),
        (
            json!({"Distribute": {"SourceImageId": "x"}}),
            "SourceImageId",
        ),
        (json!({"Distribute": request(&[]) }), "Targets"),
    ] {
        let reply = execute(&sandbox, &job).await;
        assert_eq!(reply["Status"], "Failed");
        assert!(
            reply["Result"]["Reason"].as_str().unwrap().contains(said),
            "{reply}"
        );
        assert!(
            reply["Notice"]["Message"].as_str().unwrap().contains(said),
            "{reply}"
        );
        let detail = &reply["Event"]["Detail"];
        assert!(detail["Reason"].as_str().unwrap().contains(said), "{reply}");
    }
    assert_eq!(
        sandbox.ledger().len(),
        0,
        "no call is made before the input is whole"
    );
}

/// A lasting share has no parts.
#[tokio::test(start_paused = true)]
async fn a_share_by_an_execution_is_finished_by_its_opening() {
    let sandbox = Sandbox::new(world(&TWO));
    let job = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share",
        "TargetAccountIds": "222222222222"}});
    let reply = execute(&sandbox, &job).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 1);
}

/// The answer comes at the end, or at the beginning if the resource does not wait.
#[tokio::test(start_paused = true)]
async fn a_custom_resource_of_an_execution_is_answered_once() {
    for wait in [true, false] {
        let stack = Stack::new(&TWO);
        let mut properties = request(&TWO);
        properties["Wait"] = json!(wait.to_string());
        let job = json!({"CustomResource": stack.event("Create", &properties)});
        let (opened, failed) = open(&stack.sandbox, &job).await;
        assert_eq!(stack.sandbox.answers().len(), usize::from(!wait));
        let parts = opened["Parts"].as_array().cloned().unwrap_or_default();
        let done = join_all(parts.iter().map(|part| child(&stack.sandbox, part))).await;
        let reply = conclude(&stack.sandbox, &job, opened, json!(done), &failed).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        let answers = stack.sandbox.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let body: Value = serde_json::from_str(&answers[0].body).unwrap();
        assert_eq!(body["Status"], "SUCCESS");
        let image = assert_one_image(&stack.sandbox, TWO[0]);
        if wait {
            assert_eq!(body["Data"]["Image.222222222222.us-west-2"], image.image_id);
        } else {
            assert_eq!(body["Reason"], "started");
        }
        assert!(!reply.to_string().contains("secret-of-the-stack"));
        assert_closed(&stack.sandbox);
    }
}

/// Malformed properties, and a Delete of a resource that never existed, are answered too.
#[tokio::test(start_paused = true)]
async fn a_custom_resource_of_an_execution_without_a_run_is_answered() {
    let stack = Stack::new(&TWO);
    for (kind, properties, status, said) in [
        ("Create", json!({"AmiId": "x"}), "FAILED", "SourceImageId"),
        (
            "Delete",
            json!({"AmiId": "x"}),
            "SUCCESS",
            "nothing of this resource",
        ),
    ] {
        let before = stack.sandbox.answers().len();
        let reply = execute(
            &stack.sandbox,
            &json!({"CustomResource": stack.event(kind, &properties)}),
        )
        .await;
        let answers = stack.sandbox.answers();
        assert_eq!(answers.len(), before + 1, "{reply}");
        let body: Value = serde_json::from_str(&answers[before].body).unwrap();
        assert_eq!(body["Status"], status);
        assert!(body["Reason"].as_str().unwrap().contains(said), "{body}");
    }
}

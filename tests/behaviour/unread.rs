//! A source that AWS does not describe while something is open: the run retries for some minutes,
//! and then ends without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

/// Returns the state after a first call that opened the source and started copies. Once they are
/// complete, the image cannot be read, for a time or for good.
async fn begun_and_cut_off(sandbox: &Sandbox, refusal: Fault, lasts: Option<Duration>) -> Value {
    let reply = call(sandbox, &distribute(&TWO)).await.expect("begins");
    assert_eq!(reply["Status"], "Continue", "{reply}");
    assert_eq!(calls(sandbox, "CopySnapshot"), 4, "copies are under way");
    let pending = |(account, region): Place| {
        let copies = sandbox.snapshots(account, region);
        copies.iter().any(|copy| copy.state == "pending")
    };
    while TWO.into_iter().any(pending) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    cut_off(sandbox, refusal, lasts);
    reply["State"].clone()
}

fn cut_off(sandbox: &Sandbox, refusal: Fault, lasts: Option<Duration>) {
    let until = lasts.map(|lasts| sandbox.now() + lasts);
    sandbox.set_fault(move |call| {
        let reads = call.operation == "DescribeImages" && call.account == SOURCE;
        if reads && until.is_none_or(|until| call.at < until) {
            refusal.clone()
        } else {
            Fault::None
        }
    });
}

fn assert_ended_without(sandbox: &Sandbox, reply: &Value, said: &str) {
    assert_eq!(reply["Status"], "Failed", "{reply}");
    for place in TWO {
        let result = target(reply, place);
        assert_eq!(result["Cause"], "SourceUnreadable", "{result}");
        let reason = result["Reason"].as_str().unwrap();
        assert!(reason.contains(said), "{said}: {reason}");
        assert!(
            reason.contains("could not be read (attempt 11)"),
            "{reason}"
        );
        let remedy = result["Remedy"].as_str().unwrap();
        assert!(remedy.contains("ec2:DescribeImages"), "{remedy}");
    }
    assert_nothing(sandbox, &TWO);
    sandbox.clear_fault();
    assert_closed(sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_source_readable_again_in_time_lets_the_run_continue() {
    for (refusal, minutes) in [
        (refuse(503, "RequestLimitExceeded"), 5),
        (refuse(403, "UnauthorizedOperation"), 5),
        (Fault::ResetBefore, 5),
        (Fault::HangAfter, 5),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let lasts = Duration::from_mins(minutes);
        let mut state = begun_and_cut_off(&sandbox, refusal.clone(), Some(lasts)).await;
        let (mut unread, mut waits) = (0, Vec::new());
        let ended = loop {
            let reply = call(&sandbox, &json!({ "State": state })).await;
            let reply = reply.expect("a state always has a reply");
            if reply["Status"] != "Continue" {
                break reply;
            }
            state = reply["State"].clone();
            if let Some(times) = state["Unread"].as_u64() {
                assert!(times > unread, "{times} after {unread}");
                unread = times;
                waits.push(reply["WaitSeconds"].as_u64().unwrap());
            }
            tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
        };
        assert!(unread > 1, "{refusal:?}: {unread}");
        assert!(waits.is_sorted() && waits.len() > 1, "{waits:?}");
        assert_eq!(state.get("Unread"), None, "it was read: {state}");
        assert_eq!(ended["Status"], "Succeeded", "{refusal:?}: {ended}");
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
        assert_eq!(
            calls(&sandbox, "CopySnapshot"),
            4,
            "nothing was copied twice"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_unreadable_for_good_ends_the_run_and_is_closed() {
    for (refusal, said) in [
        (refuse(503, "RequestLimitExceeded"), "RequestLimitExceeded"),
        (
            refuse(403, "UnauthorizedOperation"),
            "UnauthorizedOperation",
        ),
        (refuse(400, "Strange"), "Strange"),
        (Fault::ResetBefore, "DescribeImages"),
        (Fault::HangAfter, "DescribeImages"),
    ] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let state = begun_and_cut_off(&sandbox, refusal, None).await;
        let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
        assert_ended_without(&sandbox, &reply, said);
    }
}

/// Nothing but the copies is looked at while they are under way.
#[tokio::test(start_paused = true)]
async fn a_source_unreadable_while_copies_are_under_way_is_not_missed() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.expect("begins");
    cut_off(&sandbox, refuse(403, "UnauthorizedOperation"), None);
    let seconds = reply["WaitSeconds"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let state = json!({"State": reply["State"]});
    let reply = call(&sandbox, &state).await.expect("a reply");
    assert_eq!(reply["Status"], "Continue", "{reply}");
    assert_eq!(reply["State"].get("Unread"), None);
    sandbox.clear_fault();
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
}

/// CloudFormation waits for one hour, whatever happens to the source.
#[tokio::test(start_paused = true)]
async fn an_unreadable_source_ends_the_run_at_once_after_the_callers_deadline() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let mut state = begun_and_cut_off(&sandbox, refuse(500, "InternalError"), None).await;
    state["EndBy"] = state["Started"].clone();
    let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let reason = target(&reply, TWO[0])["Reason"].as_str().unwrap();
    assert!(
        reason.contains("CloudFormation waits no longer"),
        "{reason}"
    );
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// A state may come from any caller. A state that has given up, with work due next year, must not
/// keep the source open until then.
#[tokio::test(start_paused = true)]
async fn a_state_that_has_given_up_its_source_ends_soon_whatever_it_has_due() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let mut state = begun_and_cut_off(&sandbox, Fault::None, None).await;
    state["Unread"] = json!(500);
    for target in state["Targets"].as_array_mut().unwrap() {
        target["Phase"] = json!("Undoing");
        target["Pace"]["Due"] = json!(u32::MAX);
    }
    let began = sandbox.now();
    let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let took = sandbox.now().duration_since(began).unwrap();
    assert!(took < Duration::from_mins(30), "{took:?}");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// A call with hardly time to read must keep enough to end the run.
#[tokio::test(start_paused = true)]
async fn an_unreadable_source_ends_the_run_under_a_short_time_out() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let state = begun_and_cut_off(&sandbox, Fault::HangAfter, None).await;
    let odd = Odd {
        timeout: Duration::from_secs(30),
        skew: 0,
        attempts: 3,
    };
    let mut event = json!({ "State": state });
    for n in 0.. {
        assert!(n < 60, "it does not end: {event}");
        let reply = call_odd(&sandbox, &event, odd).await.expect("a reply");
        if reply["Status"] != "Continue" {
            return assert_ended_without(&sandbox, &reply, "no answer in time");
        }
        tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
        event = json!({"State": reply["State"]});
    }
}

/// Without a state machine the function waits inside, and invokes itself only a few times.
#[tokio::test(start_paused = true)]
async fn an_unreadable_source_costs_a_function_that_invokes_itself_few_turns() {
    for lasts in [Some(Duration::from_mins(5)), None] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let refusal = refuse(503, "RequestLimitExceeded");
        let state = begun_and_cut_off(&sandbox, refusal, lasts).await;
        let mut event = json!({"State": state, "Answered": true, "Turn": 1});
        let mut turns = 1;
        let reply = loop {
            let reply = call(&sandbox, &event).await.expect("a reply");
            let Some(own) = sandbox.lambda_invocations().pop() else {
                break reply;
            };
            event = serde_json::from_slice(&own.payload).expect("JSON");
            turns += 1;
        };
        assert_eq!(reply["Status"], "Done", "{reply}");
        assert!(turns < 5, "{turns}");
        assert_closed(&sandbox);
        if lasts.is_some() {
            assert_whole(&sandbox, &TWO);
        } else {
            assert_nothing(&sandbox, &TWO);
        }
    }
}

/// Plays an execution whose source becomes unreadable in its opening, or in its parts. The bucket
/// has the source for the parts, or cannot be read either.
async fn executed_without_source(
    sandbox: &Sandbox,
    cut_at: &'static str,
    bucket_reads: bool,
) -> Value {
    let cut = Arc::new(AtomicBool::new(false));
    let seen = cut.clone();
    sandbox.set_fault(move |call| {
        if call.operation == cut_at {
            seen.store(true, Ordering::Relaxed);
        }
        let source = call.operation == "DescribeImages" && call.account == SOURCE;
        let kept = call.operation == "GetObject" && call.params["Key"].ends_with("source.json");
        match seen.load(Ordering::Relaxed) {
            true if source => refuse(403, "UnauthorizedOperation"),
            true if kept && !bucket_reads => refuse(403, "AccessDenied"),
            _ => Fault::None,
        }
    });
    let reply = crate::machine::execute(sandbox, &distribute(&TWO)).await;
    assert!(cut.load(Ordering::Relaxed), "{cut_at}");
    sandbox.clear_fault();
    assert_closed(sandbox);
    reply
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_source_ends_an_execution_in_opening_and_in_parts() {
    for cut_at in ["ModifySnapshotAttribute", "CopySnapshot"] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let reply = executed_without_source(&sandbox, cut_at, false).await;
        assert_eq!(reply["Status"], "Failed", "{cut_at}: {reply}");
        let result = target(&reply, TWO[0]);
        assert_eq!(result["Cause"], "SourceUnreadable", "{cut_at}: {result}");
        assert_nothing(&sandbox, &TWO);
    }
}

/// The source that the opening read serves the parts.
#[tokio::test(start_paused = true)]
async fn the_parts_of_an_execution_need_no_look_at_the_source() {
    for cut_at in ["ModifySnapshotAttribute", "CopySnapshot"] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let reply = executed_without_source(&sandbox, cut_at, true).await;
        assert_eq!(reply["Status"], "Succeeded", "{cut_at}: {reply}");
        assert_whole(&sandbox, &TWO);
    }
}

/// The run closes what the share had opened by then.
#[tokio::test(start_paused = true)]
async fn a_half_open_share_of_an_unreadable_source_is_closed() {
    let sandbox = Sandbox::new(world(&TWO));
    let accounts = [TWO[0].0, TWO[1].0].join(",");
    let request = json!({"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": accounts});
    // The image is open by now, its keys are not.
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CreateGrant" => refuse(503, "ThrottlingException"),
        _ => Fault::None,
    });
    let reply = call(&sandbox, &json!({ "Distribute": request })).await;
    let reply = reply.expect("begins");
    assert_eq!(reply["Status"], "Continue", "{reply}");
    let launching = || {
        let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
        image.launch_permissions.len()
    };
    assert_eq!(launching(), 2);
    // Closing can read all it needs.
    sandbox.set_fault(|call| match call.params.get("Attribute") {
        Some(attribute) if attribute == "uefiData" => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let ended = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(ended["Status"], "Failed", "{ended}");
    assert_eq!(ended["Result"]["Targets"][0]["Cause"], "SourceUnreadable");
    assert_eq!(launching(), 0);
    sandbox.clear_fault();
    assert_closed(&sandbox);
}

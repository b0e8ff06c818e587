//! Calls that fail: each call of a run, once, in each way; and calls that never stop failing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use std::collections::BTreeMap;
use std::sync::Mutex;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::Value;

use crate::resume::hang;
use crate::support::*;

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    }
}

/// Plays one run for each of its calls, with the fault at that call, and checks that each run
/// succeeds.
async fn survived_at_every_call(name: &str, fault: Fault) {
    for n in 0.. {
        let sandbox = Sandbox::new(world(&TWO));
        hang(&sandbox, n, fault.clone());
        let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
        assert_eq!(reply["Status"], "Succeeded", "{name} at call {n}: {reply}");
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
        if n > sandbox.ledger().len() {
            println!("{name}: {n} calls tried");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_throttled_at_any_call_succeeds() {
    survived_at_every_call("throttled", refuse(503, "RequestLimitExceeded")).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_internal_error_at_any_call_succeeds() {
    survived_at_every_call("internal error", refuse(500, "InternalError")).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_connection_reset_before_any_effect_succeeds() {
    survived_at_every_call("reset before", Fault::ResetBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_connection_reset_after_any_effect_succeeds() {
    survived_at_every_call("reset after", Fault::ResetAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_answer_lost_after_any_effect_succeeds() {
    survived_at_every_call("no answer", Fault::HangAfter).await;
}

/// Without its ledger the function opens nothing, and the error names the bucket. A run that has
/// opened the source keeps trying to close it.
#[tokio::test(start_paused = true)]
async fn a_ledger_that_cannot_be_written_keeps_the_source_closed() {
    for operation in ["GetObject", "PutObject"] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault(move |call| {
            if call.operation == operation {
                refuse(403, "AccessDenied")
            } else {
                Fault::None
            }
        });
        let error = call(&sandbox, &distribute(&TWO))
            .await
            .expect_err("no ledger");
        assert_eq!(error.error_type(), "AccessDenied", "{error}");
        assert!(
            error.to_string().contains("s3://amiferry-bucket/runs/"),
            "{error}"
        );
        assert_eq!(
            calls(&sandbox, "ModifySnapshotAttribute") + calls(&sandbox, "CreateGrant"),
            0
        );
        sandbox.clear_fault();
        // The bucket fails once the source is open: the openings stay in the ledger until it works
        // again.
        let opened = std::sync::atomic::AtomicBool::new(false);
        sandbox.set_fault(move |call| {
            if call.operation == "RegisterImage" {
                opened.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            let is_open = opened.load(std::sync::atomic::Ordering::SeqCst);
            if is_open && call.operation == operation {
                refuse(403, "AccessDenied")
            } else {
                Fault::None
            }
        });
        let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
        assert_eq!(reply["Status"], "Stuck", "{operation}: {reply}");
        sandbox.clear_fault();
        let again = to_the_end(&sandbox, &distribute(&TWO)).await;
        assert_eq!(again["Status"], "Succeeded", "{operation}: {again}");
        assert_closed(&sandbox);
    }
}

/// The run's object was written, but not the record of the resource.
#[tokio::test(start_paused = true)]
async fn a_resource_whose_record_cannot_be_written_is_not_opened() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.set_fault(|call| {
        let of_record = call
            .params
            .get("Key")
            .is_some_and(|key| key.starts_with("openings/"));
        if call.operation == "PutObject" && of_record {
            refuse(403, "AccessDenied")
        } else {
            Fault::None
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(target(&reply, TWO[0])["Cause"], "LedgerFailed", "{reply}");
    assert_eq!(
        calls(&sandbox, "ModifySnapshotAttribute") + calls(&sandbox, "CreateGrant"),
        0
    );
}

/// The receipt could not be written right after the closings. It names them all in the end.
#[tokio::test(start_paused = true)]
async fn a_receipt_that_could_not_be_written_is_completed_later() {
    let sandbox = Sandbox::new(world(&TWO));
    let (closing, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    sandbox.set_fault(move |call| {
        if call.operation == "RevokeGrant" {
            closing.store(true, Ordering::SeqCst);
        }
        let key = call.params.get("Key");
        let of_run = key.is_some_and(|key| key.starts_with("runs/"));
        let receipt = call.operation == "PutObject" && of_run && closing.load(Ordering::SeqCst);
        if receipt && !refused.swap(true, Ordering::SeqCst) {
            refuse(403, "AccessDenied")
        } else {
            Fault::None
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let receipt = reply["Result"]["Receipt"].as_array().expect("a receipt");
    let closed: BTreeSet<&str> = receipt
        .iter()
        .filter_map(|r| r["Resource"].as_str())
        .collect();
    assert_eq!(closed, [ROOT, DATA, SOURCE_KEY].into(), "{reply}");
    assert_closed(&sandbox);
}

/// The run ends with the action, the place and the remedy. It lists whatever it could not remove.
#[tokio::test(start_paused = true)]
async fn an_operation_denied_for_good_fails_the_run_and_is_named() {
    for operation in [
        "DescribeSnapshotAttribute",
        "ModifySnapshotAttribute",
        "CreateGrant",
        "AssumeRole",
        "CopySnapshot",
        "RegisterImage",
    ] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.set_fault(move |call| {
            if call.operation == operation {
                refuse(403, "UnauthorizedOperation")
            } else {
                Fault::None
            }
        });
        let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
        assert_eq!(reply["Status"], "Failed", "{operation}: {reply}");
        for place in TWO {
            let result = target(&reply, place);
            let said = result["Reason"].as_str().unwrap();
            assert!(
                said.contains(operation) || operation == "DescribeSnapshotAttribute",
                "{operation}: {said}"
            );
            assert!(result["Remedy"].as_str().unwrap().len() > 20, "{result}");
        }
        assert_nothing(&sandbox, &TWO);
        if operation == "DescribeSnapshotAttribute" {
            continue;
        }
        sandbox.clear_fault();
        assert_closed(&sandbox);
    }
}

/// The closing fails for good, so the run ends as `Stuck` and lists the commands for a person.
#[tokio::test(start_paused = true)]
async fn a_grant_that_cannot_be_revoked_leaves_the_run_stuck_with_commands() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.set_fault(|call| {
        match (
            call.operation.as_str(),
            call.params.get("OperationType").map(String::as_str),
        ) {
            ("ModifySnapshotAttribute", Some("remove")) => refuse(403, "UnauthorizedOperation"),
            _ => Fault::None,
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    assert_whole(&sandbox, &TWO);
    let commands: Vec<&str> = reply["Result"]["Stuck"][0]["Commands"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        commands
            .iter()
            .any(|c| c.starts_with("aws ec2 modify-snapshot-attribute")
                && c.contains(ROOT)
                && c.contains("222222222222")),
        "{commands:?}"
    );
    assert_eq!(
        sandbox.grants(SOURCE_KEY),
        Vec::new(),
        "what can be revoked is revoked"
    );
    // Once the permission is back, the same event closes the source.
    sandbox.clear_fault();
    assert_eq!(
        to_the_end(&sandbox, &distribute(&TWO)).await["Status"],
        "Succeeded"
    );
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn copies_that_cannot_be_deleted_are_listed_as_left_behind() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RegisterImage" | "DeleteSnapshot" => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let left = reply["Result"]["Stuck"].as_array().unwrap();
    assert_eq!(left.len(), 2);
    let commands = left[0]["Commands"].to_string();
    for snapshot in sandbox.snapshots("222222222222", HOME) {
        assert!(
            commands.contains(&format!(
                "delete-snapshot --region us-west-2 --snapshot-id {}",
                snapshot.snapshot_id
            )),
            "{commands}"
        );
    }
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_ends_in_error_once_is_made_again_and_deleted() {
    for percent in [0, 50, 99] {
        let sandbox = Sandbox::new(slow_world(&TWO));
        let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
        sandbox.edit(|aws| {
            let copy = aws
                .pending_copies()
                .into_iter()
                .next()
                .expect("a copy is under way");
            assert!(aws.fail_copy_at(&copy, percent, "internal error"));
        });
        let reply = to_the_end(&sandbox, &serde_json::json!({"State": reply["State"]})).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_always_ends_in_error_fails_its_target_alone() {
    let mut account = producer();
    account.snapshots[1].copies_fail_at = Some((50, "internal error".to_owned()));
    let sandbox = Sandbox::new(world_with(account, &TWO));
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert_eq!(target(&reply, TWO[0])["Cause"], "CopyFailed");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_copy_deleted_by_somebody_else_is_made_again() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    sandbox.edit(|aws| {
        let copy = aws
            .pending_copies()
            .into_iter()
            .next()
            .expect("a copy is under way");
        assert!(aws.delete_snapshot(&copy));
    });
    let reply = to_the_end(&sandbox, &serde_json::json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_source_deregistered_during_a_run_fails_the_targets_and_leaves_nothing() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    sandbox.edit(|aws| assert!(aws.delete_image(AMI)));
    let reply = to_the_end(&sandbox, &serde_json::json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert_eq!(target(&reply, TWO[0])["Cause"], "SourceGone");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// Sessions expire after an hour, and the copy takes two.
#[tokio::test(start_paused = true)]
async fn a_copy_longer_than_a_session_continues_with_a_new_one() {
    let place = [("222222222222", HOME)];
    let sandbox = Sandbox::new(world(&place).copy_mib_per_second(102_400.0 / 7200.0));
    let reply = call(&sandbox, &distribute(&place)).await.unwrap();
    let reply = to_the_end(&sandbox, &serde_json::json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(calls(&sandbox, "AssumeRole") > 2);
    assert_closed(&sandbox);
}

/// The reply contains the valid AMI, and lists only the surplus copy for deletion.
#[tokio::test(start_paused = true)]
async fn a_surplus_copy_that_cannot_be_deleted_leaves_the_image_valid() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let reply = call(&sandbox, &distribute(&TWO)).await.unwrap();
    let broken = sandbox.edit(|aws| {
        let copy = aws
            .pending_copies()
            .into_iter()
            .next()
            .expect("a copy is under way");
        assert!(aws.fail_copy(&copy, "internal error"));
        copy
    });
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DeleteSnapshot" => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &serde_json::json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let stuck = &reply["Result"]["Stuck"];
    assert_eq!(stuck.as_array().unwrap().len(), 1);
    let place = TWO
        .into_iter()
        .find(|place| stuck[0]["AccountId"] == place.0)
        .expect("one of the two");
    let image = sandbox.images(place.0, place.1).remove(0);
    assert_eq!(target(&reply, place)["ImageId"], image.image_id);
    let commands = stuck[0]["Commands"].to_string();
    assert!(
        commands.contains(&format!(
            "delete-snapshot --region {} --snapshot-id {broken}",
            place.1
        )),
        "{commands}"
    );
    assert!(!commands.contains(&image.image_id), "{commands}");
    assert!(
        image
            .snapshot_ids()
            .iter()
            .all(|id| !commands.contains(id.as_str())),
        "{commands}"
    );
    assert_closed(&sandbox);
}

/// CopySnapshot has no token, so a lost answer is resolved by a look, not by a second call.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_was_lost_is_found_and_not_repeated() {
    let sandbox = Sandbox::new(world(&TWO));
    let lost = std::sync::atomic::AtomicBool::new(false);
    sandbox.set_fault(move |call| {
        let copying = call.operation == "CopySnapshot";
        let first = copying && !lost.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first {
            Fault::ResetAfter
        } else {
            Fault::None
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopySnapshot"), 4);
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// The SDK's own quota of retries is one for the process. An account that only fails must not use
/// up the retries of others, nor of the next run.
#[tokio::test(start_paused = true)]
async fn a_failing_account_takes_no_retries_from_others() {
    let sandbox = Sandbox::new(world(&TWO));
    let failing = TWO[0];
    sandbox.set_fault(move |call| {
        if (call.service.as_str(), call.account.as_str()) == ("ec2", failing.0) {
            refuse(500, "InternalError")
        } else {
            Fault::None
        }
    });
    let calls = |account: &str| {
        let ledger = sandbox.ledger();
        ledger.iter().filter(|c| c.account == account).count()
    };
    while calls(failing.0) < 1000 {
        let reply = to_the_end(&sandbox, &distribute(&[failing])).await;
        assert_eq!(reply["Status"], "Failed", "{reply}");
    }
    // The source's first reads for the other account use the same service and Region, and each
    // fails twice.
    let asked = Mutex::new(BTreeMap::<String, usize>::new());
    sandbox.set_fault(move |call| {
        let mut asked = asked.lock().expect("counts");
        let count = asked.entry(call.operation.clone()).or_default();
        *count += 1;
        if call.service == "ec2" && call.account == SOURCE && *count <= 2 {
            refuse(500, "InternalError")
        } else {
            Fault::None
        }
    });
    call(&sandbox, &distribute(&[TWO[1]]))
        .await
        .expect("the SDK asked a third time");
}

//! Cut at any call, failing at any call, left for dead.

use std::time::Duration;

use amiferry_sandbox::Fault;

use super::*;
use crate::resume::{hang, killed};

const HERE: [Place; 1] = [(ONE, HOME)];

/// Kills a copying run at each of its calls, and continues it with `again`.
async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) -> usize {
    for n in 0.. {
        let sandbox = Sandbox::new(editing_world(&HERE).copy_mib_per_second(2048.0));
        let before = key_policy(&sandbox).await;
        sandbox.clear_ledger();
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &by_policy(&HERE)).await else {
            return n;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        assert_whole(&sandbox, &HERE);
        assert_ended(&sandbox, &before).await;
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn a_copy_by_policy_killed_after_any_call_resumes_from_its_last_state() {
    let cuts = cut_everywhere(Fault::HangAfter, Value::clone).await;
    println!("{cuts} calls cut");
    assert!(cuts > 30, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_by_policy_killed_before_any_call_resumes_from_its_last_state() {
    assert!(cut_everywhere(Fault::HangBefore, Value::clone).await > 30);
}

#[tokio::test(start_paused = true)]
async fn a_copy_by_policy_killed_after_any_call_succeeds_when_delivered_again() {
    assert!(cut_everywhere(Fault::HangAfter, |_| by_policy(&HERE)).await > 30);
}

/// Plays one run for each call of a copy.
#[tokio::test(start_paused = true)]
async fn a_copy_by_policy_with_a_fault_at_any_call_succeeds() {
    let with_status = |status: u16, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    };
    let throttled = with_status(503, "RequestLimitExceeded");
    let internal = with_status(500, "InternalError");
    for fault in [throttled, internal, Fault::ResetBefore, Fault::ResetAfter] {
        for n in 0.. {
            let sandbox = Sandbox::new(editing_world(&HERE));
            let before = key_policy(&sandbox).await;
            sandbox.clear_ledger();
            hang(&sandbox, n, fault.clone());
            let reply = to_the_end(&sandbox, &by_policy(&HERE)).await;
            assert_eq!(
                reply["Status"], "Succeeded",
                "{fault:?} at call {n}: {reply}"
            );
            assert_whole(&sandbox, &HERE);
            let calls = sandbox.ledger().len();
            sandbox.clear_fault();
            assert_ended(&sandbox, &before).await;
            if n > calls {
                println!("{fault:?}: {n} calls tried");
                break;
            }
        }
    }
}

/// The share and its end are killed after every call, and sent again.
#[tokio::test(start_paused = true)]
async fn a_share_by_policy_killed_after_any_call_is_opened_and_closed() {
    let begin = share(&[ONE, OTHER], &json!({}));
    let end = share(&[ONE, OTHER], &json!({"Unshare": true}));
    for (event, ends_shared) in [(&begin, true), (&end, false)] {
        for n in 0.. {
            let sandbox = Sandbox::new(editing_world(&TWO));
            let before = key_policy(&sandbox).await;
            if !ends_shared {
                to_the_end(&sandbox, &begin).await;
            }
            let count = sandbox.ledger().len();
            hang(&sandbox, n, Fault::HangAfter);
            let cut = killed(&sandbox, event).await;
            let reached = sandbox.ledger().len() - count;
            sandbox.clear_fault();
            let reply = to_the_end(&sandbox, event).await;
            assert_eq!(reply["Status"], "Succeeded", "cut after {n}: {reply}");
            if ends_shared {
                assert_eq!(named(&sandbox), [ONE, OTHER], "cut after {n}");
                to_the_end(&sandbox, &end).await;
            }
            assert_ended(&sandbox, &before).await;
            if cut.is_none() {
                println!("{reached} calls cut");
                break;
            }
        }
    }
}

/// The run died while its statements were in the policy. The sweeper removes them, those for an
/// organization too.
#[tokio::test(start_paused = true)]
async fn statements_of_a_dead_run_are_removed_by_the_sweeper() {
    let by_organization = json!({"Distribute": {"SourceImageId": AMI,
        "OrganizationId": "o-abcdefghij", "KeyAccess": "Policy", "TargetKmsKeyIds": "alias/amis"}});
    for (world, event) in [
        (editing_world(&TWO), by_policy(&TWO)),
        (super::copying::organized(), by_organization),
    ] {
        let sandbox = Sandbox::new(world);
        let before = key_policy(&sandbox).await;
        sandbox.set_fault(|call| match call.operation.as_str() {
            "CopySnapshot" => Fault::HangBefore,
            _ => Fault::None,
        });
        let begun = tokio::time::timeout(Duration::from_mins(1), call(&sandbox, &event)).await;
        assert!(begun.is_err(), "it hangs");
        sandbox.clear_fault();
        assert_eq!(ours(&sandbox).len(), 3);
        tokio::time::sleep(Duration::from_hours(51)).await;
        let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(swept["Closed"].as_array().unwrap().len(), 1, "{swept}");
        assert_ended(&sandbox, &before).await;
        let again = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(again["Closed"], json!([]), "{again}");
    }
}

//! Cut, refused or doubled at any call: the grants are there in the end, and none of them twice.

use amiferry_sandbox::Fault;
use futures::future::join_all;

use super::sharing::{share, sharing_world, unshare};
use super::*;
use crate::resume::{hang, killed};

fn making(places: &[Place]) -> Value {
    let mut event = distribute_to_launch(places, &ALL);
    event["Distribute"]["CreateServiceLinkedRoles"] = json!(true);
    event
}

/// One of the roles exists; KMS learns of the others late.
fn making_world() -> World {
    launching_world_with(&[SCALING]).principal_delay(Duration::from_secs(20))
}

/// A single target: these tests make many runs.
const PLACES: &[Place] = &[TWO[0]];

fn assert_copied(sandbox: &Sandbox, places: &[Place], what: &str) {
    assert_whole(sandbox, places);
    assert_closed(sandbox);
    assert_granted(sandbox, places);
    for place in places {
        assert_single(sandbox, &key_arn(*place));
    }
    let made = sandbox
        .ledger()
        .into_iter()
        .filter(|call| call.operation == "CreateServiceLinkedRole" && call.outcome == Some(Ok(())));
    assert_eq!(made.count(), 2 * places.len(), "{what}");
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) -> usize {
    for n in 0.. {
        let sandbox = Sandbox::new(making_world());
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &making(PLACES)).await else {
            return n;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        assert_copied(&sandbox, PLACES, &format!("cut at call {n}"));
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn a_copy_with_launch_grants_killed_after_any_call_resumes_from_its_last_state() {
    let cuts = cut_everywhere(Fault::HangAfter, Value::clone).await;
    println!("{cuts} calls cut");
    assert!(cuts > 40, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_with_launch_grants_killed_before_any_call_resumes_from_its_last_state() {
    assert!(cut_everywhere(Fault::HangBefore, Value::clone).await > 40);
}

#[tokio::test(start_paused = true)]
async fn a_copy_with_launch_grants_killed_after_any_call_succeeds_when_delivered_again() {
    assert!(cut_everywhere(Fault::HangAfter, |_| making(PLACES)).await > 40);
}

fn faults() -> [(&'static str, Fault); 4] {
    let refuse = |status, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    };
    [
        ("throttled", refuse(400, "ThrottlingException")),
        ("failing", refuse(500, "ServiceFailure")),
        ("reset before", Fault::ResetBefore),
        ("reset after", Fault::ResetAfter),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_copy_with_launch_grants_with_a_fault_at_any_call_succeeds() {
    for (name, fault) in faults() {
        for n in 0.. {
            let sandbox = Sandbox::new(making_world());
            hang(&sandbox, n, fault.clone());
            let reply = to_the_end(&sandbox, &making(PLACES)).await;
            assert_eq!(reply["Status"], "Succeeded", "{name} at call {n}: {reply}");
            assert_copied(&sandbox, PLACES, name);
            if n > sandbox.ledger().len() {
                println!("{name}: {n} calls tried");
                break;
            }
        }
    }
}

/// The share is opened and closed with each fault at each of its calls.
#[tokio::test(start_paused = true)]
async fn a_share_with_launch_grants_with_a_fault_at_any_call_is_opened_and_closed() {
    let accounts = ["222222222222", "333333333333"];
    let (begin, end) = (share(&accounts, &ALL), unshare(&accounts));
    for (name, fault) in [("hanging", Fault::HangAfter)].into_iter().chain(faults()) {
        for (event, ends_shared) in [(&begin, true), (&end, false)] {
            for n in 0.. {
                let sandbox = Sandbox::new(sharing_world());
                if !ends_shared {
                    to_the_end(&sandbox, &begin).await;
                }
                let before = sandbox.ledger().len();
                hang(&sandbox, n, fault.clone());
                let interrupted =
                    tokio::time::timeout(Duration::from_mins(1), call(&sandbox, event));
                drop(interrupted.await);
                let reached = sandbox.ledger().len() - before;
                sandbox.clear_fault();
                let reply = to_the_end(&sandbox, event).await;
                assert_eq!(reply["Status"], "Succeeded", "{name} at {n}: {reply}");
                if ends_shared {
                    let all = accounts
                        .iter()
                        .flat_map(|account| all_of(account))
                        .collect();
                    assert_eq!(grantees(&sandbox, SOURCE_KEY), all, "{name} at {n}");
                    assert_single(&sandbox, SOURCE_KEY);
                    to_the_end(&sandbox, &end).await;
                }
                assert_closed(&sandbox);
                if reached < n {
                    println!("{name}: {n} calls");
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_make_each_launch_grant_once() {
    for seed in 0..12_u64 {
        let sandbox = Sandbox::new(making_world());
        sandbox.set_fault(move |call| {
            let odd = call.seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (seed % 32 + 16);
            Fault::Delay(Duration::from_millis(odd % 700))
        });
        let event = making(&TWO);
        let replies = join_all((0..2).map(|_| to_the_end(&sandbox, &event))).await;
        for reply in replies {
            assert_eq!(reply["Status"], "Succeeded", "{seed}: {reply}");
        }
        assert_copied(&sandbox, &TWO, "two at once");
    }
}

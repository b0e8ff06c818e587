//! Kills a run after every AWS call, and continues it with the caller's last state. Each target has
//! exactly one AMI without orphans, and nothing stays open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

/// The speed of copies that take a minute, and so several calls of the function.
const SLOW: f64 = 2048.0;

/// Hangs the `n`-th call from now (counted from 0), before or after its effect.
pub fn hang(sandbox: &Sandbox, n: usize, fault: Fault) {
    let count = Arc::new(AtomicUsize::new(0));
    sandbox.set_fault(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == n {
            fault.clone()
        } else {
            Fault::None
        }
    });
}

/// Drives the function until the hanging call, and kills it there by dropping its future. Returns
/// the event with which the caller would continue, or `None` if the run ended before.
pub async fn killed(sandbox: &Sandbox, first: &Value) -> Option<Value> {
    let mut event = first.clone();
    loop {
        let function = function(sandbox).await;
        let (text, invocation) = (event.to_string(), invocation(sandbox));
        let reply = tokio::select! {
            biased;
            () = sandbox.hung() => return Some(event),
            reply = function.handle(&text, &invocation) => reply.expect("a good call has a reply"),
        };
        if reply["Status"] != "Continue" {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
        event = json!({"State": reply["State"]});
    }
}

/// Kills a run at each of its calls, each time in a world of its own, and goes on with the event
/// that `again` makes of the last one; with null, the first is sent again. Returns the number of
/// calls.
pub async fn cut_at_each_call(
    fault: &Fault,
    event: &Value,
    world: impl Fn() -> World,
    again: impl Fn(&Value) -> Value,
    check: impl Fn(&Sandbox),
) -> usize {
    for n in 0.. {
        let sandbox = Sandbox::new(world());
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, event).await else {
            return n;
        };
        sandbox.clear_fault();
        let again = again(&last);
        let again = if again.is_null() { event } else { &again };
        let reply = to_the_end(&sandbox, again).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        check(&sandbox);
    }
    unreachable!("a run has an end")
}

/// Kills a run at each of its calls, and continues it with `again` each time. With slow copies
/// (`rate` in MiB/s) the run takes several calls.
async fn cut_everywhere(fault: Fault, rate: f64, again: impl Fn(&Value) -> Value) -> usize {
    for n in 0.. {
        let sandbox = Sandbox::new(world(&TWO).copy_mib_per_second(rate));
        sandbox.edit(|aws| aws.share_snapshot(ROOT, "222222222222"));
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &distribute(&TWO)).await else {
            return n;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        assert_whole(&sandbox, &TWO);
        for snapshot in sandbox.snapshots(SOURCE, HOME) {
            let before: &[&str] = if snapshot.snapshot_id == ROOT {
                &["222222222222"]
            } else {
                &[]
            };
            assert!(
                snapshot.create_volume_permissions.iter().eq(before),
                "cut at call {n}: {snapshot:?}"
            );
            assert!(
                !snapshot.tags.keys().any(|k| k.starts_with("amiferry:")),
                "cut at call {n}: {snapshot:?}"
            );
        }
        assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new(), "cut at call {n}");
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_after_any_call_resumes_from_its_last_state() {
    let cuts = cut_everywhere(Fault::HangAfter, SLOW, Value::clone).await;
    println!("cut points tried after a call's effect: {cuts}");
    assert!(cuts > 40, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_before_any_call_resumes_from_its_last_state() {
    assert!(cut_everywhere(Fault::HangBefore, SLOW, Value::clone).await > 40);
}

/// Lambda delivers an event again when its invocation died.
#[tokio::test(start_paused = true)]
async fn a_run_killed_after_any_call_succeeds_when_delivered_again() {
    assert!(cut_everywhere(Fault::HangAfter, 4096.0, |_| distribute(&TWO)).await > 40);
}

/// The same state is sent twice, the second time after the run has moved on.
#[tokio::test(start_paused = true)]
async fn a_state_handed_in_again_later_makes_nothing_twice() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let mut states = Vec::new();
    let mut event = distribute(&TWO);
    let result = loop {
        let reply = call(&sandbox, &event).await.unwrap();
        if reply["Status"] != "Continue" {
            break reply;
        }
        tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
        event = json!({"State": reply["State"]});
        states.push(event.clone());
    };
    assert!(states.len() > 3, "{}", states.len());
    for state in &states {
        let again = to_the_end(&sandbox, state).await;
        assert_eq!(again["Result"], result["Result"]);
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
}

/// The function returns well before its deadline, whatever hangs, and its state lets the caller
/// continue.
#[tokio::test(start_paused = true)]
async fn a_call_returns_ten_seconds_before_its_deadline() {
    for seconds in [20, 45, 300] {
        for n in (0..40).step_by(3) {
            let sandbox = Sandbox::new(world(&TWO));
            hang(&sandbox, n, Fault::HangAfter);
            let mut short = invocation(&sandbox);
            short.deadline = Some(sandbox.now() + Duration::from_secs(seconds));
            let reply = function(&sandbox)
                .await
                .handle(&distribute(&TWO).to_string(), &short)
                .await;
            let left = short
                .deadline
                .unwrap()
                .duration_since(sandbox.now())
                .unwrap_or_default();
            assert!(
                left >= Duration::from_secs(10),
                "call {n} hanging, {seconds} s given: {left:?} left"
            );
            sandbox.clear_fault();
            let event = reply
                .ok()
                .filter(|r| r["Status"] == "Continue")
                .map_or(distribute(&TWO), |r| json!({"State": r["State"]}));
            assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
            assert_whole(&sandbox, &TWO);
            assert_closed(&sandbox);
        }
    }
}

/// `cargo lambda watch` sends a deadline in 1970.
#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_counts_as_unknown() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let mut bogus = invocation(&sandbox);
    bogus.deadline = Some(std::time::UNIX_EPOCH + Duration::from_mins(10));
    let reply = function(&sandbox)
        .await
        .handle(&distribute(&TWO).to_string(), &bogus)
        .await
        .unwrap();
    assert_eq!(reply["Status"], "Continue");
    assert_eq!(
        to_the_end(&sandbox, &json!({"State": reply["State"]})).await["Status"],
        "Succeeded"
    );
}

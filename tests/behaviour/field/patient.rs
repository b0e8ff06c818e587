//! Failures that pass are retried, in whichever form AWS shows them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::launch_grants::{ALL, launch_grants, launching_world};
use crate::lives::update;
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);

fn asked(more: &Value) -> Value {
    let mut asked = request(&[TARGET]);
    for (key, value) in more.as_object().expect("words") {
        asked[key] = value.clone();
    }
    json!({"Distribute": asked})
}

/// Each step of opening fails for longer than the SDK's own attempts last.
#[tokio::test(start_paused = true)]
async fn an_outage_at_any_step_of_opening_delays_the_run_and_does_not_fail_it() {
    for (access, operation) in [
        ("Grant", "CreateGrant"),
        ("Grant", "ModifySnapshotAttribute"),
        ("Grant", "DescribeSnapshotAttribute"),
        ("Policy", "GetKeyPolicy"),
        ("Policy", "PutKeyPolicy"),
        ("Policy", "ModifySnapshotAttribute"),
    ] {
        for code in [
            "InternalError",
            "InternalServiceFault",
            "ExpiredTokenException",
        ] {
            let mut source = producer();
            source.roles[0] = function_role().policy(documented("KeyPolicies"));
            let sandbox = Sandbox::new(world_with(source, &[TARGET]));
            let failed: Mutex<BTreeMap<String, u32>> = Mutex::default();
            let status = if code == "ExpiredTokenException" {
                400
            } else {
                500
            };
            sandbox.set_fault(move |call| {
                let mut failed = failed.lock().unwrap();
                let count = failed.entry(call.operation.clone()).or_default();
                *count += 1;
                if call.operation == operation && *count <= 6 {
                    refuse(status, code)
                } else {
                    Fault::None
                }
            });
            let reply = to_the_end(&sandbox, &asked(&json!({"KeyAccess": access}))).await;
            assert_eq!(
                reply["Status"], "Succeeded",
                "{access} {operation} {code}: {reply}"
            );
            assert_whole(&sandbox, &[TARGET]);
            assert_closed(&sandbox);
        }
    }
}

/// EC2 accepts a copy whose source or key it cannot see yet, and reports that by the copy's state
/// alone.
#[tokio::test(start_paused = true)]
async fn copies_that_fail_while_a_permission_spreads_are_made_again() {
    for said in [
        "Source snapshot is not found",
        "Source snapshot ID is not valid",
        "Given key ID is not accessible",
        "The KEY cannot be used",
    ] {
        let sandbox = Sandbox::new(slow_world(&[TARGET]));
        let event = distribute(&[TARGET]);
        let spreading = async {
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                sandbox.edit(|aws| {
                    for id in aws.pending_copies() {
                        aws.fail_copy(&id, said);
                    }
                });
            }
            std::future::pending::<()>().await;
        };
        let reply = tokio::select! {
            reply = to_the_end(&sandbox, &event) => reply,
            () = spreading => unreachable!("for ever"),
        };
        assert_eq!(reply["Status"], "Succeeded", "{said}: {reply}");
        assert_whole(&sandbox, &[TARGET]);
        assert_closed(&sandbox);
    }
}

/// Each call may meet a node that has not seen the permission yet.
#[tokio::test(start_paused = true)]
async fn a_permission_that_spreads_node_by_node_delays_the_run() {
    for seconds in [30, 120, 240] {
        let delay = Duration::from_secs(seconds);
        let sandbox = Sandbox::new(slow_world(&TWO).permission_delay(delay));
        let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
        assert_eq!(reply["Status"], "Succeeded", "{seconds}: {reply}");
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
}

/// A key that never works is given up within minutes, with its own cause.
#[tokio::test(start_paused = true)]
async fn copies_that_keep_failing_fail_within_minutes_with_their_cause() {
    let sandbox = Sandbox::new(slow_world(&[TARGET]));
    let event = distribute(&[TARGET]);
    let failing = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sandbox.edit(|aws| {
                for id in aws.pending_copies() {
                    aws.fail_copy(&id, "Source snapshot is not found");
                }
            });
        }
    };
    let begun = sandbox.now();
    let reply = tokio::select! {
        reply = to_the_end(&sandbox, &event) => reply,
        () = failing => unreachable!("for ever"),
    };
    assert_eq!(
        target(&reply, TARGET)["Cause"],
        "SnapshotNotVisible",
        "{reply}"
    );
    let took = sandbox.now().duration_since(begun).unwrap();
    assert!(took < Duration::from_mins(10), "{took:?}");
    assert_nothing(&sandbox, &[TARGET]);
    assert_closed(&sandbox);
}

/// A session with the shortest policy deletes copies when they become a share, and changes tags.
#[tokio::test(start_paused = true)]
async fn updates_succeed_under_the_shortest_session_policy() {
    for roles in [Value::Null, json!(ALL)] {
        let stack = Stack::of(launching_world());
        let mut copied = with(request(&TWO), "OnDelete", json!("Deregister"));
        if !roles.is_null() {
            copied["ServiceLinkedRoles"] = roles.clone();
        }
        let created = stack.send(&stack.event("Create", &copied)).await;
        assert_eq!(created["Status"], "SUCCESS", "{created}");
        stack
            .sandbox
            .set_fault(move |call| match call.params.get("Policy") {
                Some(policy) if policy.len() > 650 => refuse(400, "PackedPolicyTooLarge"),
                _ => Fault::None,
            });
        let tagged = with(copied.clone(), "Tags", json!({"stage": "prod"}));
        let updated = update(&stack, &created, &copied, &tagged).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        let mut shared = json!({"SourceImageId": AMI, "Mode": "Share",
            "TargetAccountIds": [TWO[0].0, TWO[1].0]});
        if !roles.is_null() {
            shared["ServiceLinkedRoles"] = roles.clone();
        }
        let updated = update(&stack, &created, &tagged, &shared).await;
        assert_eq!(updated["Status"], "SUCCESS", "{updated}");
        assert_nothing(&stack.sandbox, &TWO);
        for place in TWO {
            assert_eq!(launch_grants(&stack.sandbox, &key_arn(place)), Vec::new());
        }
        let assumed = stack.sandbox.ledger();
        let tries = assumed.iter().filter(|c| c.operation == "AssumeRole");
        let refused = tries.filter(|c| matches!(c.outcome, None | Some(Err(_))));
        assert!(refused.count() > 0, "the shorter policies were asked for");
    }
}

/// STS packs policies in an undocumented way. A policy that does not fit is sent in coarser forms,
/// never left out.
#[tokio::test(start_paused = true)]
async fn a_session_policy_too_long_for_sts_is_sent_in_coarser_forms() {
    for room in [1000, 800, 600] {
        let sandbox = Sandbox::new(world(&[TARGET]));
        sandbox.set_fault(move |call| match call.params.get("Policy") {
            Some(policy) if policy.len() > room => refuse(400, "PackedPolicyTooLarge"),
            _ => Fault::None,
        });
        let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
        assert_eq!(reply["Status"], "Succeeded", "{room}: {reply}");
        assert_whole(&sandbox, &[TARGET]);
        let assumed = sandbox.ledger();
        let mut assumed = assumed.iter().filter(|c| c.operation == "AssumeRole");
        assert!(assumed.all(|call| call.params.contains_key("Policy")));
    }
}

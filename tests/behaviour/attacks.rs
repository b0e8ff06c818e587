//! Attacks by a caller of the function, a writer of a `State`, a person who may tag the source, or
//! a thief of a session. Each is made once, and opens nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

const ATTACKER: &str = "444444444444";

/// Returns every principal to which a snapshot, the image or the key was opened at any time.
fn opened_to(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut who = BTreeSet::new();
    for call in sandbox.ledger() {
        if call.account != SOURCE || call.outcome != Some(Ok(())) {
            continue;
        }
        let adds = call.params.get("OperationType").is_some_and(|o| o == "add");
        let opens = adds || call.operation == "CreateGrant" || call.operation == "PutKeyPolicy";
        let words = call.params.values().filter(|_| opens);
        for account in ["222222222222", "333333333333", ATTACKER] {
            if words.clone().any(|word| word.contains(account)) {
                who.insert(account.to_owned());
            }
        }
    }
    who
}

/// Throttles this operation until the fault is cleared.
fn throttle(sandbox: &Sandbox, operation: &'static str) {
    sandbox.set_fault(move |call| {
        if call.operation == operation {
            Fault::Refuse {
                status: 400,
                code: "ThrottlingException".to_owned(),
                message: "slowly".to_owned(),
            }
        } else {
            Fault::None
        }
    });
}

/// Returns the states of a run, one for each call of a run whose calls are short.
async fn states(sandbox: &Sandbox, event: &Value) -> Vec<Value> {
    let (mut states, mut event) = (Vec::new(), event.clone());
    for _ in 0..200 {
        let reply = short_call(sandbox, &event).await;
        if reply["Status"] != "Continue" {
            return states;
        }
        states.push(reply["State"].clone());
        event = json!({"State": reply["State"]});
        tokio::time::sleep(Duration::from_secs(
            reply["WaitSeconds"].as_u64().unwrap_or(1),
        ))
        .await;
    }
    panic!("the run does not end");
}

/// The target of a genuine state is exchanged for an account with a copy role, in every phase of
/// the run.
#[tokio::test(start_paused = true)]
async fn a_state_with_an_exchanged_target_opens_nothing_to_it() {
    for access in ["Grant", "Policy"] {
        let mut asked = request(&TWO[..1]);
        asked["KeyAccess"] = json!(access);
        let event = json!({ "Distribute": asked });
        let genuine = states(&attacked_world(), &event).await;
        assert!(genuine.len() > 2, "{} states", genuine.len());
        for (n, state) in genuine.iter().enumerate() {
            for phase in ["", "Ready", "Copying"] {
                let sandbox = attacked_world();
                states_until(&sandbox, &event, n).await;
                let mut forged = state.clone();
                forged["Targets"][0]["AccountId"] = json!(ATTACKER);
                forged["Targets"][0]["Shared"] = json!(phase == "Copying");
                forged["Targets"][0]
                    .as_object_mut()
                    .expect("an object")
                    .remove("KmsKeyId");
                if !phase.is_empty() {
                    (forged["Phase"], forged["Targets"][0]["Phase"]) =
                        (json!("Copying"), json!(phase));
                }
                forged["Run"] = only_run(&sandbox);
                to_the_end(&sandbox, &json!({ "State": forged })).await;
                assert!(
                    !opened_to(&sandbox).contains(ATTACKER),
                    "{access}, state {n}, {phase}"
                );
            }
        }
    }
}

fn attacked_world() -> Sandbox {
    let mut source = producer();
    source.roles[0].policies.push(documented("KeyPolicies"));
    Sandbox::new(world_with(source, &[TWO[0], (ATTACKER, HOME)]).copy_mib_per_second(2000.0))
}

fn only_run(sandbox: &Sandbox) -> Value {
    let objects = sandbox.objects(BUCKET);
    let run = objects
        .keys()
        .find_map(|key| key.strip_prefix("runs/")?.strip_suffix("/run.json"));
    json!(run.expect("a run"))
}

/// Repeats the run up to its `n`-th state.
async fn states_until(sandbox: &Sandbox, event: &Value, n: usize) {
    let mut event = event.clone();
    for _ in 0..=n {
        let reply = short_call(sandbox, &event).await;
        event = json!({"State": reply["State"]});
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The state names a run unknown to the ledger; all else in it is genuine.
#[tokio::test(start_paused = true)]
async fn a_state_of_a_run_unknown_to_the_ledger_opens_nothing() {
    let event = distribute(&TWO[..1]);
    for state in states(&attacked_world(), &event).await {
        let sandbox = attacked_world();
        let mut forged = state;
        forged["Phase"] = json!("Sharing");
        forged["Targets"][0]["Phase"] = json!("Ready");
        let reply = to_the_end(&sandbox, &json!({ "State": forged })).await;
        assert_eq!(opened_to(&sandbox), BTreeSet::new());
        let result = target(&reply, TWO[0]);
        assert_eq!(result["Cause"], "AttemptOver", "{result}");
        assert!(
            result["Reason"]
                .as_str()
                .expect("said")
                .contains("ledger knows no run"),
            "{result}"
        );
    }
}

/// The states are of a run that has ended, and of attempts that never existed.
#[tokio::test(start_paused = true)]
async fn a_state_of_an_ended_run_opens_nothing() {
    let sandbox = attacked_world();
    let kept = states(&sandbox, &distribute(&TWO[..1])).await;
    delete_copies(&sandbox, TWO[0]);
    for attempt in [1, 2, u32::MAX] {
        for state in &kept {
            sandbox.clear_ledger();
            let mut state = state.clone();
            state["Attempt"] = json!(attempt);
            let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
            // The image of a target that was being tidied had been verified.
            if state["Targets"][0]["Phase"] != "Tidying" {
                assert_eq!(reply["Status"], "Failed", "{reply}");
            }
            assert_eq!(opened_to(&sandbox), BTreeSet::new(), "attempt {attempt}");
        }
    }
    assert_closed(&sandbox);
}

/// A genuine state, in which one of the other keys that decide what is opened is exchanged.
#[tokio::test(start_paused = true)]
async fn a_state_with_an_exchanged_order_opens_nothing() {
    for (pointer, value) in [
        ("/Order/RevokeAfterCopy", json!(false)),
        ("/Order/KeyAccess", json!("Policy")),
        ("/Targets/0/RoleName", json!("Admin")),
        ("/Targets/0/Region", json!("us-east-1")),
    ] {
        let sandbox = attacked_world();
        let event = distribute(&TWO[..1]);
        throttle(&sandbox, "CreateGrant");
        let mut state = short_call(&sandbox, &event).await["State"].clone();
        sandbox.clear_fault();
        sandbox.clear_ledger();
        *state.pointer_mut(pointer).expect("there") = value;
        state["Targets"][0]["Phase"] = json!("Ready");
        to_the_end(&sandbox, &json!({ "State": state })).await;
        assert_eq!(opened_to(&sandbox), BTreeSet::new(), "{pointer}");
        assert_closed(&sandbox);
    }
}

/// The state names an audience or account that the request of the lasting share did not.
#[tokio::test(start_paused = true)]
async fn a_state_with_an_exchanged_audience_opens_nothing_to_it() {
    let share = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true,
        "TargetAccountIds": ["222222222222"]}});
    // The settings allow the second organization.
    let elsewhere = "arn:aws:organizations::999999999999:organization/o-zyxwvutsrq";
    let allowed = "arn:aws:organizations::111111111111:organization/o-abcdefghij";
    for organization in [elsewhere, allowed, ""] {
        let sandbox = attacked_world();
        throttle(&sandbox, "CreateGrant");
        let reply = call(&sandbox, &share).await.expect("a reply");
        sandbox.clear_fault();
        let mut state = reply["State"].clone();
        if organization.is_empty() {
            state["Targets"][0]["AccountId"] = json!(ATTACKER);
        } else {
            state["Order"]["Share"]["Audience"] = json!([organization]);
        }
        sandbox.clear_ledger();
        to_the_end(&sandbox, &json!({ "State": state })).await;
        let named = |word: &str| {
            let mut calls = sandbox.ledger().into_iter();
            calls.any(|c| c.operation.starts_with("Modify") && c.params.values().any(|v| v == word))
        };
        assert!(
            !named(organization) && !opened_to(&sandbox).contains(ATTACKER),
            "{organization}"
        );
    }
}

/// A session of the copy role makes a grant by virtue of the run's. The run revokes it, and the
/// receipt lists it.
#[tokio::test(start_paused = true)]
async fn a_child_grant_of_a_copy_role_is_revoked_with_the_run() {
    let sandbox = Sandbox::new(slow_world(&TWO[..1]));
    let reply = call(&sandbox, &distribute(&TWO[..1]))
        .await
        .expect("begins");
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 1);
    sandbox.edit(|aws| {
        let evil = "arn:aws:iam::222222222222:role/Evil";
        assert!(aws.add_child_grant(SOURCE_KEY, "222222222222", evil));
    });
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_closed(&sandbox);
    let receipt = reply["Result"]["Receipt"].as_array().expect("a receipt");
    let grant = receipt
        .iter()
        .find(|r| r["What"] == "grant")
        .expect("of the key");
    let children = grant["ReadBack"]["ChildGrants"].to_string();
    assert!(
        children.contains("role/Evil") && children.contains("revoked"),
        "{grant}"
    );
}

/// The closings are verified by then, and no record names an attempt any more.
#[tokio::test(start_paused = true)]
async fn a_state_kept_past_the_verified_closing_opens_nothing() {
    let sandbox = attacked_world();
    let kept = states(&sandbox, &distribute(&TWO[..1])).await;
    delete_copies(&sandbox, TWO[0]);
    forgotten(&sandbox).await;
    let mut state = kept[0].clone();
    state["Phase"] = json!("Sharing");
    state["Targets"][0]["Phase"] = json!("Ready");
    to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(opened_to(&sandbox), BTreeSet::new());
}

/// Has all closings verified, so that no record is left, and clears the list of calls.
async fn forgotten(sandbox: &Sandbox) {
    tokio::time::sleep(Duration::from_mins(16)).await;
    call(sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    let objects = sandbox.objects(BUCKET);
    assert!(
        objects.keys().all(|key| key.starts_with("runs/")),
        "{:?}",
        objects.keys()
    );
    sandbox.clear_ledger();
}

#[tokio::test(start_paused = true)]
async fn a_state_of_an_ended_share_opens_nothing() {
    let share = |unshare: bool| {
        json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": [TWO[0].0],
            "Unshare": unshare}})
    };
    let sandbox = attacked_world();
    let kept = unopened(&sandbox, &share(false)).await;
    to_the_end(&sandbox, &share(false)).await;
    to_the_end(&sandbox, &share(true)).await;
    forgotten(&sandbox).await;
    to_the_end(&sandbox, &json!({ "State": kept })).await;
    assert_eq!(opened_to(&sandbox), BTreeSet::new());
}

/// Returns the state of a run whose first call could open nothing.
async fn unopened(sandbox: &Sandbox, event: &Value) -> Value {
    sandbox.set_fault(|call| {
        if call.operation.starts_with("Modify") {
            Fault::Refuse {
                status: 503,
                code: "RequestLimitExceeded".to_owned(),
                message: "slowly".to_owned(),
            }
        } else {
            Fault::None
        }
    });
    let reply = short_call(sandbox, event).await;
    sandbox.clear_fault();
    assert_eq!(opened_to(sandbox), BTreeSet::new());
    reply["State"].clone()
}

/// The state claims that its role was assumed.
#[tokio::test(start_paused = true)]
async fn a_state_that_claims_an_assumed_role_opens_nothing_to_its_target() {
    let sandbox = attacked_world();
    let mut state = unopened(&sandbox, &distribute(&TWO[..1])).await;
    let role = format!("arn:aws:iam::{}:role/AmiCopyRole", TWO[0].0);
    sandbox.edit(|aws| assert!(aws.drop_principal(&role)));
    state["Phase"] = json!("Sharing");
    state["Targets"][0]["Phase"] = json!("Ready");
    to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(opened_to(&sandbox), BTreeSet::new());
}

/// Every snapshot of this source can be shared: a staged copy stands in for none.
#[tokio::test(start_paused = true)]
async fn a_state_with_an_exchanged_snapshot_is_refused() {
    let sandbox = attacked_world();
    let mut state = unopened(&sandbox, &distribute(&TWO[..1])).await;
    let other = amiferry_sandbox::Snapshot::new(HOME, "snap-00000000000000bad", 1).key(SOURCE_KEY);
    sandbox
        .edit(|aws| aws.add_snapshot(SOURCE, other))
        .expect("fits");
    state["Phase"] = json!("Sharing");
    state["Targets"][0]["Phase"] = json!("Ready");
    state["Source"]["Staged"] = json!("00000000000000bad,00000000000000bad");
    let error = call(&sandbox, &json!({ "State": state }))
        .await
        .expect_err("no such state");
    assert_eq!(error.error_type(), "InvalidState", "{error}");
    assert_eq!(opened_to(&sandbox), BTreeSet::new());
}

/// The run was not accepted for the other image, though that is of the source account too.
#[tokio::test(start_paused = true)]
async fn a_state_with_an_exchanged_source_opens_nothing() {
    let sandbox = attacked_world();
    let mut state = unopened(&sandbox, &distribute(&TWO[..1])).await;
    let (ami, snap) = ("ami-00000000000000bad", "snap-00000000000000bad");
    sandbox.edit(|aws| {
        let snapshot = amiferry_sandbox::Snapshot::new(HOME, snap, 1).key(SOURCE_KEY);
        let ebs = amiferry_sandbox::Ebs::snapshot(snap);
        let mapping = amiferry_sandbox::BlockDeviceMapping::ebs("/dev/xvda", ebs);
        let image = amiferry_sandbox::Image::new(HOME, ami, "other").mapping(mapping);
        aws.add_snapshot(SOURCE, snapshot).expect("fits");
        let image = image.with(|i| i.root_device_name = Some("/dev/xvda".to_owned()));
        aws.add_image(SOURCE, image).expect("fits");
    });
    state["Phase"] = json!("Sharing");
    state["Targets"][0]["Phase"] = json!("Ready");
    state["Source"]["ImageId"] = json!(ami);
    state["Source"]["Snapshots"] = json!([snap]);
    let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(target(&reply, TWO[0])["Cause"], "AttemptOver", "{reply}");
    assert_eq!(opened_to(&sandbox), BTreeSet::new());
}

/// EC2 makes a grant for the volume of an instance, and retires it with the volume.
#[tokio::test(start_paused = true)]
async fn a_child_grant_of_a_volume_survives_the_run() {
    let sandbox = Sandbox::new(slow_world(&TWO[..1]));
    let reply = call(&sandbox, &distribute(&TWO[..1]))
        .await
        .expect("begins");
    sandbox.edit(|aws| {
        let ec2 =
            "arn:aws:sts::222222222222:assumed-role/aws:ec2-infrastructure/i-0123456789abcdef0";
        assert!(aws.add_child_grant(SOURCE_KEY, "222222222222", ec2));
    });
    to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 1);
}

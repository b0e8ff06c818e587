//! Acts of other people in the middle of runs, one to a test. Permissions that they give stay, and
//! permissions that they remove do not return.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Fault, Image, Sandbox, Snapshot};
use serde_json::{Value, json};

use crate::resume::{hang, killed};
use crate::support::*;

mod copies;

const ONE: &str = "222222222222";
const AT_HOME: [Place; 1] = [(ONE, HOME)];
const ELSEWHERE: [Place; 1] = [(ONE, "us-east-1")];

fn on_both(sandbox: &Sandbox, change: impl Fn(&mut amiferry_sandbox::Aws, &str) -> bool) {
    sandbox.edit(|aws| assert!([ROOT, DATA].into_iter().all(|id| change(aws, id))));
}

fn permit(sandbox: &Sandbox) {
    on_both(sandbox, |aws, id| aws.share_snapshot(id, ONE));
}

fn forbid(sandbox: &Sandbox) {
    on_both(sandbox, |aws, id| aws.unshare_snapshot(id, ONE));
}

fn permitted(sandbox: &Sandbox) -> Vec<BTreeSet<String>> {
    let snapshots = sandbox.snapshots(SOURCE, HOME).into_iter();
    snapshots.map(|s| s.create_volume_permissions).collect()
}

/// The first call, and the event for the next.
async fn begun(sandbox: &Sandbox, event: &Value) -> Value {
    let reply = call(sandbox, event).await.expect("begins");
    assert_eq!(reply["Status"], "Continue", "{reply}");
    json!({"State": reply["State"]})
}

/// The old state says that the source is open. Its run has closed the source, and a person has
/// permitted the account since.
#[tokio::test(start_paused = true)]
async fn an_old_state_removes_no_permission_given_since() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let old = begun(&sandbox, &distribute(&AT_HOME)).await;
    to_the_end(&sandbox, &old).await;
    assert_closed(&sandbox);
    permit(&sandbox);
    let reply = to_the_end(&sandbox, &old).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_closed_but(&sandbox, &[ONE]);
    assert_whole(&sandbox, &AT_HOME);
}

/// The records name the openings, so the run closes without its object, and opens nothing more.
#[tokio::test(start_paused = true)]
async fn a_run_whose_object_was_deleted_closes_what_it_opened() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let next = begun(&sandbox, &distribute(&AT_HOME)).await;
    let objects = sandbox.objects(BUCKET);
    let run = objects
        .keys()
        .find(|key| key.starts_with("runs/"))
        .expect("a run");
    sandbox.edit(|aws| assert!(aws.delete_object(BUCKET, run)));
    assert_eq!(to_the_end(&sandbox, &next).await["Status"], "Succeeded");
    assert_closed(&sandbox);
}

/// The first run found the account permitted. A person removed the permission; the second run gave
/// it again and ended. The first run must not take it for preexisting.
#[tokio::test(start_paused = true)]
async fn a_removed_permission_no_longer_counts_as_preexisting() {
    for share in [false, true] {
        let sandbox = Sandbox::new(slow_world(&TWO[..1]));
        let places = [AT_HOME[0]];
        permit(&sandbox);
        let long = begun(&sandbox, &distribute(&places)).await;
        forbid(&sandbox);
        // Until then the read that found it permitted may be the newer one.
        tokio::time::sleep(Duration::from_secs(61)).await;
        if share {
            for unshare in [false, true] {
                let event = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share",
                    "ShareSnapshots": true, "Unshare": unshare,
                    "TargetAccountIds": ONE}});
                assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
            }
        } else {
            let mut other = request(&places);
            other["Tags"] = json!({"stage": "other"});
            to_the_end(&sandbox, &json!({ "Distribute": other })).await;
        }
        to_the_end(&sandbox, &long).await;
        assert_closed(&sandbox);
    }
}

/// The share begins while a copy to the same account closes. The copy has read the record by then,
/// but not the share's hold.
#[tokio::test(start_paused = true)]
async fn a_share_begun_while_a_copy_closes_keeps_its_openings() {
    let share = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true,
        "TargetAccountIds": ONE}});
    for late in (0..30).step_by(3) {
        let sandbox = Sandbox::new(world(&ELSEWHERE));
        let closing = Arc::new(AtomicBool::new(false));
        let seen = closing.clone();
        // From its first removal on, each call of the copy takes a second.
        sandbox.set_fault(move |call| {
            if removes(call) && !seen.swap(true, Ordering::SeqCst) {
                return Fault::Delay(Duration::from_millis(100 * late));
            }
            Fault::Delay(Duration::from_millis(70))
        });
        let sharing = async {
            while !closing.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            to_the_end(&sandbox, &share).await
        };
        let copy = distribute(&ELSEWHERE);
        let (copied, shared) = tokio::join!(to_the_end(&sandbox, &copy), sharing);
        assert_eq!(
            (&copied["Status"], &shared["Status"]),
            (&json!("Succeeded"), &json!("Succeeded"))
        );
        assert_eq!(
            permitted(&sandbox),
            vec![BTreeSet::from([ONE.to_owned()]); 2],
            "{late}"
        );
    }
}

/// The session policy limits any role to its run's keys and Regions, and to deleting copies of this
/// image.
#[tokio::test(start_paused = true)]
async fn every_session_policy_is_limited_to_its_run() {
    let sandbox = Sandbox::new(world(&FOUR));
    to_the_end(&sandbox, &distribute(&FOUR)).await;
    let ledger = sandbox.ledger();
    let sessions = ledger.iter().filter(|call| call.operation == "AssumeRole");
    for session in sessions {
        let policy = session.params.get("Policy").expect("a session policy");
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        let deletes = &policy["Statement"][2];
        assert_eq!(
            deletes["Condition"]["StringEquals"]["aws:ResourceTag/amiferry:source-image"],
            AMI
        );
        let keys = policy["Statement"][3]["Resource"].to_string();
        assert!(
            keys.contains(SOURCE_KEY) && !keys.contains("\"*\""),
            "{keys}"
        );
        let name = &session.params["RoleSessionName"];
        assert!(name.starts_with("amiferry-") && name.len() == 25, "{name}");
    }
}

/// Two processes tidy up. The later one is denied a deletion, because the snapshot is listed
/// without its tags for a while after the earlier one deleted it. No person needs to act.
#[tokio::test(start_paused = true)]
async fn a_denied_deletion_is_retried_before_the_run_is_stuck() {
    let mut world = world(&TWO);
    for snapshot in &mut world.accounts[0].snapshots {
        snapshot.copies_fail_at = Some((50, "internal error".to_owned()));
    }
    let sandbox = Sandbox::new(world);
    let first = std::sync::Mutex::new(None);
    sandbox.set_fault(move |call| {
        if call.operation != "DeleteSnapshot" {
            return Fault::None;
        }
        let first = *first.lock().unwrap().get_or_insert(call.at);
        if call.at.duration_since(first).unwrap_or_default() > Duration::from_secs(12) {
            return Fault::None;
        }
        Fault::Refuse {
            status: 403,
            code: "UnauthorizedOperation".to_owned(),
            message: "as it is gone".to_owned(),
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert_nothing(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// Every kind of request gets its answer before the deadline, whichever calls AWS leaves
/// unanswered.
#[tokio::test(start_paused = true)]
async fn every_call_returns_before_its_deadline_however_aws_hangs() {
    let job = distribute(&TWO);
    let sandbox = Sandbox::new(slow_world(&TWO));
    let state = call(&sandbox, &job).await.expect("begins")["State"].clone();
    let share =
        json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "TargetAccountIds": [ONE]}});
    let failed = json!({"Error": "States.Timeout", "Cause": "somebody stopped it"});
    let events = [
        job.clone(),
        share,
        json!({"State": state}),
        json!({"Preflight": job["Distribute"]}),
        json!({"Policies": job["Distribute"]}),
        json!({"Sweep": {}}),
        json!({"Open": job, "Execution": "x", "Last": {}}),
        json!({"Open": job, "Execution": "x", "Last": {"Status": "Continue", "State": state}}),
        json!({"Conclude": job, "Execution": "x", "Last": {"Status": "Continue", "State": state},
            "Parts": []}),
        json!({"Conclude": job, "Execution": "x", "Last": {}, "Parts": [], "Failed": failed}),
    ];
    for event in events {
        // AWS hangs from the first call on, from the fourth, and so on. The role of one target is
        // found late, so that opening ends without that target.
        for (silent, limit) in (0..36).step_by(3).flat_map(|n| [(n, 60), (n, 30)]) {
            let calls = std::sync::atomic::AtomicUsize::new(0);
            sandbox.set_fault(move |call| {
                let late = |arn: &String| arn.contains(TWO[1].0);
                if call.operation == "AssumeRole" && call.params.get("RoleArn").is_some_and(late) {
                    return Fault::Refuse {
                        status: 503,
                        code: "Throttling".to_owned(),
                        message: "as the test wants it".to_owned(),
                    };
                }
                if calls.fetch_add(1, Ordering::SeqCst) < silent {
                    Fault::None
                } else {
                    Fault::HangBefore
                }
            });
            let limit = Duration::from_secs(limit);
            let odd = Odd {
                timeout: limit,
                skew: 0,
                attempts: 3,
            };
            let calling = call_odd(&sandbox, &event, odd);
            let answered = tokio::time::timeout(limit, calling).await;
            assert!(answered.is_ok(), "silent after {silent} calls: {event}");
        }
    }
}

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

/// Two runs share the copies of one target. One cannot register its name, and undoes only what it
/// made: nothing.
#[tokio::test(start_paused = true)]
async fn a_failed_run_leaves_the_copies_of_another_run() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let good = begun(&sandbox, &distribute(&AT_HOME)).await;
    let mut request = request(&AT_HOME);
    request["Name"] = json!("taken");
    let bad = begun(&sandbox, &json!({ "Distribute": request })).await;
    sandbox.edit(|aws| {
        let theirs = Snapshot::new(HOME, "snap-0fffffffffffffff1", 8);
        let mapping = BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(&theirs.snapshot_id));
        let image = Image::new(HOME, "ami-0fffffffffffffff1", "taken").mapping(mapping);
        aws.add_snapshot(ONE, theirs).expect("fits");
        aws.add_image(ONE, image).expect("fits");
    });
    tokio::time::sleep(Duration::from_mins(20)).await;
    let failed = to_the_end(&sandbox, &bad).await;
    assert_eq!(
        target(&failed, AT_HOME[0])["Cause"],
        "NameTaken",
        "{failed}"
    );
    let reply = to_the_end(&sandbox, &good).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopySnapshot"), 2, "they were made again");
    assert_closed(&sandbox);
}

/// Backups and people copy our copies with their tags. A snapshot without the tag by which copies
/// are found is not the run's.
#[tokio::test(start_paused = true)]
async fn a_failed_run_leaves_snapshots_that_others_tagged_like_a_copy() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let next = begun(&sandbox, &distribute(&AT_HOME)).await;
    let theirs = "snap-0fffffffffffffff1";
    sandbox.edit(|aws| {
        let tags = [
            (
                "amiferry:run",
                next["State"]["Run"].as_str().expect("a run"),
            ),
            ("amiferry:source-image", AMI),
        ];
        let like_ours = tags
            .iter()
            .fold(Snapshot::new(HOME, theirs, 8), |snapshot, (key, value)| {
                snapshot.tag(key, value)
            });
        aws.add_snapshot(ONE, like_ours).expect("fits");
        assert!(aws.delete_image(AMI));
    });
    let reply = to_the_end(&sandbox, &next).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let left = sandbox.snapshots(ONE, HOME);
    let left: Vec<&str> = left.iter().map(|s| s.snapshot_id.as_str()).collect();
    assert_eq!(left, [theirs]);
}

/// CopySnapshot has no token, so the outcome of an unanswered call is looked up, not requested
/// again.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_is_lost_for_good_is_found_and_not_repeated() {
    for fault in [Fault::ResetAfter, Fault::HangAfter] {
        let sandbox = Sandbox::new(slow_world(&AT_HOME));
        let lost = AtomicBool::new(false);
        sandbox.set_fault(move |call| {
            if call.operation == "CopySnapshot" && !lost.swap(true, Ordering::SeqCst) {
                return fault.clone();
            }
            Fault::None
        });
        let reply = to_the_end(&sandbox, &distribute(&AT_HOME)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(calls(&sandbox, "CopySnapshot"), 2);
        assert_whole(&sandbox, &AT_HOME);
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

/// A run whose state is lost made copies in an account that denies every look now. The reply says
/// that they may exist, and where to look.
#[tokio::test(start_paused = true)]
async fn copies_of_an_earlier_attempt_that_cannot_be_listed_are_reported() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let event = distribute(&TWO);
    begun(&sandbox, &event).await;
    let role = format!("arn:aws:iam::{}:role/AmiCopyRole", TWO[0].0);
    assert!(sandbox.edit(|aws| aws.drop_principal(&role)));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let result = target(&reply, TWO[0]);
    assert_eq!(result["Cause"], "RoleNotAssumable", "{result}");
    let stuck = &reply["Result"]["Stuck"];
    assert_eq!(stuck.as_array().map(Vec::len), Some(1), "{stuck}");
    assert_eq!(stuck[0]["AccountId"], TWO[0].0);
    assert!(
        stuck[0]["Commands"]
            .to_string()
            .contains("describe-snapshots"),
        "{stuck}"
    );
    assert_eq!(target(&reply, TWO[1])["Status"], "Succeeded");
    assert_closed(&sandbox);
}

/// An image bears our tags, but its snapshots are not under the key: a person made it, or the alias
/// named another key.
#[tokio::test(start_paused = true)]
async fn an_image_under_another_key_does_not_count_as_the_copy() {
    let sandbox = Sandbox::new(world(&TWO));
    let event = distribute(&TWO);
    let reply = to_the_end(&sandbox, &event).await;
    let copies = target(&reply, TWO[0])["Snapshots"].clone();
    let copy = copies[ROOT].as_str().expect("an ID");
    let other = format!(
        "arn:aws:kms:{}:{}:key/99999999-aaaa-bbbb-cccc-000000000009",
        TWO[0].1, TWO[0].0
    );
    assert!(sandbox.edit(|aws| aws.change_snapshot(copy, |s| s.kms_key_arn = Some(other.clone()))));
    // A request with another name is another run, which keeps the earlier image.
    let mut other_words = event.clone();
    other_words["Distribute"]["Tags"] = json!({"stage": "again"});
    let again = to_the_end(&sandbox, &other_words).await;
    let result = target(&again, TWO[0]);
    assert_eq!(result["Cause"], "NotFaithful", "{result}");
    let reason = result["Reason"].as_str().expect("a Reason");
    assert!(
        reason.contains(&format!(
            "{copy} is encrypted with {other} instead of {}",
            key_arn(TWO[0])
        )),
        "{reason}"
    );
    assert_eq!(sandbox.images(TWO[0].0, TWO[0].1).len(), 1);
    assert_eq!(target(&again, TWO[1])["Status"], "Succeeded");
    assert_closed(&sandbox);
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

/// No state names copies that a killed call had started. The next call looks before it starts any.
#[tokio::test(start_paused = true)]
async fn copies_started_by_a_killed_call_are_found_by_the_next() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    // The source key stays unreachable, so nothing has started when the first call returns.
    sandbox.set_fault(|call| {
        let asks = call.operation == "DescribeKey" && call.account == ONE;
        if asks && call.params.values().any(|value| value == SOURCE_KEY) {
            Fault::Refuse {
                status: 400,
                code: "AccessDeniedException".to_owned(),
                message: "the grant does not count yet".to_owned(),
            }
        } else {
            Fault::None
        }
    });
    let mut event = begun(&sandbox, &distribute(&AT_HOME)).await;
    assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangAfter,
        _ => Fault::None,
    });
    loop {
        tokio::select! {
            biased;
            () = sandbox.hung() => break,
            reply = call(&sandbox, &event) => {
                let reply = reply.expect("a reply");
                assert_eq!(reply["Status"], "Continue", "{reply}");
                event = json!({"State": reply["State"]});
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
    sandbox.clear_fault();
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let made = sandbox
        .ledger()
        .into_iter()
        .filter(|call| call.operation == "CopySnapshot" && !matches!(call.outcome, Some(Err(_))));
    assert_eq!(made.count(), 2, "a copy was begun twice");
    assert_whole(&sandbox, &AT_HOME);
    assert_closed(&sandbox);
}

const NAME: &str = "golden-copied-from-111111111111";
const NAMED: [Place; 2] = [(ONE, "us-east-1"), (ONE, HOME)];

/// Plays a process that registers the image of one target and dies with copies of the other; then somebody takes the name there.
/// Returns the state from before the source was open, which goes on.
async fn dead_and_its_name_taken(sandbox: &Sandbox) -> Value {
    sandbox.set_fault(|call| {
        let reads = call.operation == "GetObject";
        let mut values = call.params.values();
        if reads && values.any(|key| key.starts_with("openings/")) {
            refuse(503, "SlowDown")
        } else {
            Fault::None
        }
    });
    let mut short = invocation(sandbox);
    short.deadline = Some(sandbox.now() + Duration::from_secs(30));
    let event = distribute(&NAMED).to_string();
    let begun = function(sandbox).await.handle(&event, &short).await;
    let begun = begun.expect("begins");
    let unopened = json!({"State": begun["State"]});
    let tries = AtomicUsize::new(0);
    sandbox.set_fault(move |call| match call.operation.as_str() {
        "RegisterImage" if call.region == "us-east-1" => {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..5 => refuse(503, "RequestLimitExceeded"),
                _ => Fault::HangBefore,
            }
        }
        _ => Fault::None,
    });
    assert!(killed(sandbox, &unopened).await.is_some(), "it dies");
    sandbox.clear_fault();
    let theirs = Image::new("us-east-1", "ami-0fffffffffffffff1", NAME);
    sandbox
        .edit(|aws| aws.add_image(ONE, theirs))
        .expect("fits");
    unopened
}

/// The next process gives the target up at its first look; it may die in turn, at any of its calls.
#[tokio::test(start_paused = true)]
async fn copies_of_a_dead_process_are_undone_where_the_name_was_taken_since() {
    for n in (0..).step_by(9) {
        let sandbox = Sandbox::new(slow_world(&NAMED));
        let unopened = dead_and_its_name_taken(&sandbox).await;
        hang(&sandbox, n, Fault::HangAfter);
        let died = killed(&sandbox, &unopened).await.is_some();
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &unopened).await;
        assert_eq!(reply["Status"], "PartiallySucceeded", "call {n}: {reply}");
        assert_eq!(sandbox.snapshots(ONE, "us-east-1"), [], "call {n}: {reply}");
        assert_whole(&sandbox, &NAMED[1..]);
        assert_closed(&sandbox);
        if !died {
            return;
        }
    }
}

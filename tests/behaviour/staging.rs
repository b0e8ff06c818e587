//! `ReencryptKmsKeyId`: a source under `aws/ebs` is copied in its own account first, and nothing of
//! that is left there.

use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Account, Fault, Key, Sandbox, World};
use serde_json::{Value, json};

use crate::machine::execute;
use crate::resume::{hang, killed};
use crate::support::*;

pub const SHARED_KEY: &str = "alias/shared-ami-key";

/// Returns the source account whose image's first snapshots are under `aws/ebs`, with the
/// documented permissions for staging.
pub fn under_aws_ebs(snapshots: usize) -> Account {
    let mut account = producer();
    account.roles[0].policies.push(documented("Stage"));
    for snapshot in &mut account.snapshots[..snapshots] {
        snapshot.kms_key_arn = Some("alias/aws/ebs".to_owned());
    }
    account
}

fn staged_world(snapshots: usize, places: &[Place]) -> World {
    world_with(under_aws_ebs(snapshots), places)
}

fn wish_under(key: &str, places: &[Place]) -> Value {
    let mut event = distribute(places);
    event["Distribute"]["ReencryptKmsKeyId"] = json!(key);
    event
}

fn wish(places: &[Place]) -> Value {
    wish_under(SHARED_KEY, places)
}

/// Checks that the source is closed, and that its account has only the image's own snapshots.
fn assert_unstaged(sandbox: &Sandbox, case: &str) {
    let there: Vec<String> = sandbox
        .snapshots(SOURCE, HOME)
        .into_iter()
        .map(|s| s.snapshot_id)
        .collect();
    assert_eq!(there, [ROOT, DATA], "{case}");
    assert_closed(sandbox);
}

fn staged_copies(sandbox: &Sandbox) -> usize {
    let ledger = sandbox.ledger();
    let copies = ledger
        .iter()
        .filter(|call| call.operation == "CopySnapshot" && call.account == SOURCE);
    copies.count()
}

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn only_snapshots_that_cannot_be_shared_are_staged() {
    for snapshots in [1, 2] {
        let sandbox = Sandbox::new(staged_world(snapshots, &FOUR));
        let reply = to_the_end(&sandbox, &wish(&FOUR)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_whole(&sandbox, &FOUR);
        assert_unstaged(&sandbox, "succeeded");
        assert_eq!(staged_copies(&sandbox), snapshots);
        // The reply names the image's own snapshots.
        let result = target(&reply, FOUR[0])["Snapshots"].as_object().unwrap();
        assert!(
            result.contains_key(ROOT) && result.contains_key(DATA),
            "{result:?}"
        );
        // The same request again finds every image, and stages nothing.
        let again = to_the_end(&sandbox, &wish(&FOUR)).await;
        assert_eq!(again["Result"], reply["Result"]);
        assert_eq!(staged_copies(&sandbox), snapshots);
        assert_unstaged(&sandbox, "again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_can_be_shared_is_not_staged() {
    let sandbox = Sandbox::new(world(&TWO));
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(staged_copies(&sandbox), 0);
    assert_whole(&sandbox, &TWO);
    assert_unstaged(&sandbox, "not needed");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_staging_key_is_refused_by_name() {
    let disabled = "11111111-aaaa-bbbb-cccc-00000000000d";
    let cases = [
        ("alias/aws/ebs", "AWS-managed"),
        ("alias/nobody", "there is no alias/nobody"),
        (disabled, "is Disabled"),
        (
            "arn:aws:kms:us-east-1:111111111111:key/11111111-aaaa-bbbb-cccc-000000000001",
            "must be a key of the source account",
        ),
        (
            "arn:aws:kms:us-west-2:222222222222:key/11111111-aaaa-bbbb-cccc-000000000001",
            "must be a key of the source account",
        ),
    ];
    for (key, expected) in cases {
        let sandbox = Sandbox::new(world_with(
            under_aws_ebs(2).key(Key::new(HOME, disabled)),
            &TWO,
        ));
        sandbox.edit(|aws| {
            let _ = aws.aws_ebs_key(SOURCE, HOME);
            assert!(aws.disable_key(&format!("arn:aws:kms:{HOME}:{SOURCE}:key/{disabled}")));
        });
        let error = call(&sandbox, &wish_under(key, &TWO))
            .await
            .expect_err("refused");
        let said = error.to_string();
        assert!(
            said.starts_with("ReencryptKmsKeyId: ") && said.contains(expected),
            "{key}: {said}"
        );
        assert_eq!(error.error_type(), "InvalidRequest");
        let changing = ["Copy", "Create", "Modify", "Assume"];
        assert!(
            sandbox
                .ledger()
                .iter()
                .all(|c| !changing.iter().any(|w| c.operation.starts_with(w)))
        );
    }
    let sandbox = Sandbox::new(staged_world(1, &TWO));
    let said = call(&sandbox, &distribute(&TWO))
        .await
        .expect_err("refused")
        .to_string();
    assert!(
        said.starts_with("SourceImageId: ") && said.contains("ReencryptKmsKeyId"),
        "{said}"
    );
}

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    for n in 0.. {
        let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(1024.0));
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &wish(&TWO)).await else {
            assert!(n > 40, "{n}");
            return;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        assert_whole(&sandbox, &TWO);
        assert_unstaged(&sandbox, &format!("cut at call {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_after_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangAfter, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_before_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangBefore, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_after_any_call_succeeds_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| wish(&TWO)).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_with_a_fault_at_any_call_succeeds() {
    let faults = [
        refuse(503, "RequestLimitExceeded"),
        Fault::ResetBefore,
        Fault::ResetAfter,
    ];
    for fault in faults {
        for n in 0.. {
            let sandbox = Sandbox::new(staged_world(1, &TWO));
            hang(&sandbox, n, fault.clone());
            let reply = to_the_end(&sandbox, &wish(&TWO)).await;
            assert_eq!(
                reply["Status"], "Succeeded",
                "{fault:?} at call {n}: {reply}"
            );
            assert_whole(&sandbox, &TWO);
            assert_unstaged(&sandbox, &format!("{fault:?} at call {n}"));
            if n > sandbox.ledger().len() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_staging_event_delivered_twice_at_once_leaves_no_staged_copy() {
    for seed in 1..20_u64 {
        let sandbox = Sandbox::new(staged_world(2, &TWO));
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        sandbox.set_fault(move |_| {
            Fault::Delay(Duration::from_millis(random.lock().unwrap().u64(0..900)))
        });
        let event = wish(&TWO);
        let (one, other) = tokio::join!(to_the_end(&sandbox, &event), to_the_end(&sandbox, &event));
        assert_eq!(
            (&one["Status"], &other["Status"]),
            (&json!("Succeeded"), &json!("Succeeded")),
            "seed {seed}: {one} {other}"
        );
        assert_whole(&sandbox, &TWO);
        assert_unstaged(&sandbox, &format!("seed {seed}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_staged_copy_that_ends_in_error_is_made_again_a_few_times() {
    let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(50.0));
    let reply = call(&sandbox, &wish(&TWO)).await.unwrap();
    assert_eq!(reply["State"]["Phase"], "Staging", "{reply}");
    sandbox.edit(|aws| {
        let copies = aws.pending_copies();
        assert!(aws.fail_copy(&copies[0], "internal error"));
    });
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(staged_copies(&sandbox), 2);
    assert_whole(&sandbox, &TWO);
    assert_unstaged(&sandbox, "broke once");

    let mut account = under_aws_ebs(1);
    account.snapshots[0].copies_fail_at = Some((50, "internal error".to_owned()));
    let sandbox = Sandbox::new(world_with(account, &TWO));
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let result = target(&reply, TWO[0]);
    assert_eq!(result["Cause"], "StagingFailed");
    assert!(
        result["Remedy"]
            .as_str()
            .unwrap()
            .contains("ec2:CopySnapshot"),
        "{result}"
    );
    assert_eq!(staged_copies(&sandbox), 3);
    assert_nothing(&sandbox, &TWO);
    assert_unstaged(&sandbox, "always breaks");
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_without_a_permission_fails_and_names_it() {
    let mut account = under_aws_ebs(2);
    account.roles[0].policies.pop();
    let sandbox = Sandbox::new(world_with(account, &TWO));
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(target(&reply, TWO[0])["Cause"], "StagingFailed", "{reply}");
    assert_nothing(&sandbox, &TWO);
    assert_unstaged(&sandbox, "denied");
}

#[tokio::test(start_paused = true)]
async fn a_full_copy_quota_delays_staging_and_does_not_fail_it() {
    let sandbox = Sandbox::new(staged_world(2, &TWO));
    let count = std::sync::atomic::AtomicUsize::new(0);
    sandbox.set_fault(move |call| {
        let staging = call.operation == "CopySnapshot" && call.account == SOURCE;
        if staging && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 60 {
            refuse(400, "ResourceLimitExceeded")
        } else {
            Fault::None
        }
    });
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_unstaged(&sandbox, "queued");
}

#[tokio::test(start_paused = true)]
async fn a_staged_copy_that_cannot_be_deleted_is_listed_with_its_command() {
    let sandbox = Sandbox::new(staged_world(1, &TWO));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DeleteSnapshot" if call.account == SOURCE => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    assert_whole(&sandbox, &TWO);
    let left: Vec<_> = sandbox
        .snapshots(SOURCE, HOME)
        .into_iter()
        .filter(|s| s.snapshot_id != ROOT && s.snapshot_id != DATA)
        .collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].create_volume_permissions.is_empty());
    let stuck = &reply["Result"]["Stuck"][0];
    assert_eq!(stuck["AccountId"], SOURCE);
    let command = format!(
        "aws ec2 delete-snapshot --region {HOME} --snapshot-id {}",
        left[0].snapshot_id
    );
    assert!(stuck["Commands"].to_string().contains(&command), "{stuck}");
    // The ledger still names the run, so the sweeper tries again.
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_hours(51)).await;
    let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_eq!(swept["Closed"].as_array().unwrap().len(), 1, "{swept}");
    assert_unstaged(&sandbox, "swept");
}

/// The run died while it staged, or after it had opened its staged copies.
#[tokio::test(start_paused = true)]
async fn staged_copies_of_a_dead_run_are_deleted_by_the_sweeper() {
    for dies_at in ["CopySnapshot of staging", "CopySnapshot"] {
        let sandbox = Sandbox::new(staged_world(1, &TWO));
        sandbox.set_fault(
            move |call| match (call.operation.as_str(), call.account == SOURCE) {
                ("CopySnapshot", true) if dies_at != "CopySnapshot" => Fault::HangAfter,
                ("CopySnapshot", false) => Fault::HangBefore,
                _ => Fault::None,
            },
        );
        let event = wish(&TWO);
        let driving = tokio::time::timeout(Duration::from_mins(5), to_the_end(&sandbox, &event));
        tokio::select! {
            biased;
            () = sandbox.hung() => {}
            _ = driving => panic!("{dies_at}: it hangs"),
        }
        sandbox.clear_fault();
        let young = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(
            young["Alive"].as_array().unwrap().len(),
            1,
            "{dies_at}: {young}"
        );
        tokio::time::sleep(Duration::from_hours(51)).await;
        let old = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(
            old["Closed"].as_array().unwrap().len(),
            1,
            "{dies_at}: {old}"
        );
        assert_unstaged(&sandbox, dies_at);
    }
}

/// A state may claim staged copies. The run opens and deletes only those that it made.
#[tokio::test(start_paused = true)]
async fn a_state_with_forged_staged_copies_opens_and_deletes_nothing() {
    let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(250.0));
    let mut state = call(&sandbox, &wish(&TWO)).await.unwrap()["State"].clone();
    let other = amiferry_sandbox::Snapshot::new(HOME, "snap-00000000000000bad", 1).key(SOURCE_KEY);
    sandbox.edit(|aws| aws.add_snapshot(SOURCE, other)).unwrap();
    state["Phase"] = json!("Sharing");
    state["Source"]["Staged"] = json!("00000000000000bad,00000000000000bad");
    let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    let touched = sandbox.ledger().iter().any(|call| {
        call.params.values().any(|v| v == "snap-00000000000000bad")
            && !call.operation.starts_with("Describe")
    });
    assert!(!touched);
    assert!(
        sandbox
            .edit(|aws| aws.snapshot("snap-00000000000000bad"))
            .is_some()
    );
}

/// The opening stages before it makes parts. A target that answers late finds the staged copy open
/// too.
#[tokio::test(start_paused = true)]
async fn an_execution_stages_once_for_all_its_parts() {
    for late in [false, true] {
        let sandbox = Sandbox::new(staged_world(1, &FOUR).copy_mib_per_second(250.0));
        let began = sandbox.now();
        sandbox.set_fault(move |call| {
            let young = call.at.duration_since(began).unwrap_or_default() < Duration::from_mins(1);
            let role = call
                .params
                .get("RoleArn")
                .is_some_and(|arn| arn.contains("444444444444"));
            if late && young && role {
                refuse(503, "Throttling")
            } else {
                Fault::None
            }
        });
        let reply = execute(&sandbox, &wish(&FOUR)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(staged_copies(&sandbox), 1);
        assert_whole(&sandbox, &FOUR);
        assert_unstaged(&sandbox, "executed");
    }
    let mut account = under_aws_ebs(1);
    account.snapshots[0].copies_fail_at = Some((50, "internal error".to_owned()));
    let sandbox = Sandbox::new(world_with(account, &TWO));
    let reply = execute(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert_nothing(&sandbox, &TWO);
    assert_unstaged(&sandbox, "failed");
}

/// The run opens only the staged copy, so the original's permissions are not its own.
#[tokio::test(start_paused = true)]
async fn permissions_on_a_staged_original_stay() {
    for staged in [1, 2] {
        let source = under_aws_ebs(staged);
        let snapshots: Vec<String> = source
            .snapshots
            .iter()
            .map(|s| s.snapshot_id.clone())
            .collect();
        let sandbox = Sandbox::new(world_with(source, &TWO));
        for id in &snapshots {
            assert!(sandbox.edit(|aws| aws.share_snapshot(id, TWO[0].0)));
        }
        let reply = to_the_end(&sandbox, &wish(&TWO)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_whole(&sandbox, &TWO);
        assert_closed_but(&sandbox, &[TWO[0].0]);
        assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 2);
    }
}

/// A backup may copy a staged copy with some of its tags.
#[tokio::test(start_paused = true)]
async fn a_snapshot_with_only_the_tag_of_the_run_survives_the_end_of_staging() {
    let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(250.0));
    let reply = call(&sandbox, &wish(&TWO)).await.expect("begins");
    let run = reply["State"]["Run"].as_str().expect("a run");
    let theirs = "snap-0fffffffffffffff1";
    let tagged = amiferry_sandbox::Snapshot::new(HOME, theirs, 1).tag("amiferry:run", run);
    sandbox
        .edit(|aws| aws.add_snapshot(SOURCE, tagged))
        .expect("fits");
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(sandbox.edit(|aws| aws.snapshot(theirs)).is_some());
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_verification_of_an_attempt_keeps_staged_copies_of_the_next() {
    let sandbox = Sandbox::new(staged_world(1, &TWO));
    to_the_end(&sandbox, &wish(&TWO)).await;
    delete_copies(&sandbox, TWO[0]);
    tokio::time::sleep(Duration::from_mins(15)).await;
    let reply = short_call(&sandbox, &wish(&TWO)).await;
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3, "{reply}");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_ne!(swept["Verified"], json!([]));
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3);
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_unstaged(&sandbox, "attempted twice");
}

/// No listing showed the staged copy when its attempt ended. The verification deletes it, even
/// after a later attempt that staged nothing.
#[tokio::test(start_paused = true)]
async fn a_staged_copy_that_showed_late_is_deleted_by_the_verification() {
    let late = LateReads {
        listings: Duration::from_mins(1),
        ..LateReads::default()
    };
    let sandbox = Sandbox::new(staged_world(1, &TWO).late_reads(late));
    sandbox.set_fault(
        |call| match (call.account.as_str(), call.operation.as_str()) {
            (SOURCE, "CopySnapshot") => Fault::ResetAfter,
            _ => Fault::None,
        },
    );
    let begun = short_call(&sandbox, &wish(&TWO)).await;
    assert_eq!(begun["Status"], "Continue");
    assert!(sandbox.snapshots(SOURCE, HOME).len() > 2);
    sandbox.set_fault(|call| match call.operation.as_str() {
        "AssumeRole" | "CopySnapshot" => refuse(403, "AccessDenied"),
        _ => Fault::None,
    });
    for _ in 0..2 {
        let reply = to_the_end(&sandbox, &wish(&TWO)).await;
        assert_eq!(reply["Status"], "Failed", "{reply}");
    }
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_mins(17)).await;
    call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_unstaged(&sandbox, "verified");
}

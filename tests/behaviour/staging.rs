//! `ReencryptKmsKeyId`: a source under `aws/ebs` is copied in its own account first, and nothing of
//! that is left there.

use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Account, Fault, Key, Sandbox, World};
use serde_json::{Value, json};

use crate::machine::execute;
use crate::resume::{hang, killed};
use crate::support::*;

mod deleted;
mod interrupted;
pub mod regions;

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
        assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
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

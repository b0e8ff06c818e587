//! Locked snapshots: the states of a lock over time, and the deletions that it refuses.

use std::time::Duration;

use tokio::time::sleep;

use crate::client::{Answer, Params};
use crate::policies::{allow, document, when};
use crate::worlds::{Bench, CONSUMER, OWN, PLAIN, UNSHARED, WEST};

const ADMIN: &str = "arn:aws:iam::222222222222:user/admin";
const BY_ID: (&str, &str) = ("SnapshotId", OWN);
const GOVERNANCE: (&str, &str) = ("LockMode", "governance");
const COMPLIANCE: (&str, &str) = ("LockMode", "compliance");
const A_DAY: (&str, &str) = ("LockDuration", "1");
const A_MONTH: (&str, &str) = ("LockDuration", "30");
const AN_HOUR: (&str, &str) = ("CoolOffPeriod", "1");

async fn call(bench: &Bench, action: &str, params: Params<'_>) -> Answer {
    bench.consumer.ec2(action, params).await
}

async fn lock(bench: &Bench, more: Params<'_>) -> Answer {
    call(bench, "LockSnapshot", &[&[BY_ID], more].concat()).await
}

async fn states(bench: &Bench, params: Params<'_>) -> Vec<String> {
    let answer = call(bench, "DescribeLockedSnapshots", params).await;
    answer.ok().texts("lockState")
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
        "SNAPSHOT_LOCKED" => {
            lock(&bench, &[GOVERNANCE, A_DAY]).await.ok();
            call(&bench, "DeleteSnapshot", &[BY_ID]).await
        }
        "SNAPSHOT_NOT_LOCKED" => call(&bench, "UnlockSnapshot", &[BY_ID]).await,
        "LOCK_COMPLIANCE" => {
            lock(&bench, &[COMPLIANCE, A_DAY]).await.ok();
            call(&bench, "UnlockSnapshot", &[BY_ID]).await
        }
        "LOCK_COOL_OFF" => lock(&bench, &[GOVERNANCE, A_DAY, AN_HOUR]).await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_locked_snapshot_is_not_deleted_until_it_is_unlocked() {
    let bench = Bench::new();
    assert!(bench.sandbox.edit(|aws| aws.lock_snapshot(OWN)));
    assert!(!bench.sandbox.edit(|aws| aws.lock_snapshot("snap-12345678")));
    assert_eq!(states(&bench, &[]).await, ["governance"]);
    let refused = call(&bench, "DeleteSnapshot", &[BY_ID]).await;
    assert_eq!(refused.refusal.as_deref(), Some("SNAPSHOT_LOCKED"));
    let unlocked = call(&bench, "UnlockSnapshot", &[BY_ID]).await.ok();
    assert_eq!(unlocked.text("snapshotId").as_deref(), Some(OWN));
    assert!(states(&bench, &[]).await.is_empty());
    call(&bench, "DeleteSnapshot", &[BY_ID]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_lock_in_compliance_mode_cools_off_holds_and_expires() {
    let bench = Bench::new();
    let answer = lock(&bench, &[COMPLIANCE, A_DAY, AN_HOUR]).await.ok();
    let state = answer.text("lockState");
    assert_eq!(state.as_deref(), Some("compliance-cooloff"));
    assert_eq!(answer.text("coolOffPeriod").as_deref(), Some("1"));
    sleep(Duration::from_hours(2)).await;
    assert_eq!(states(&bench, &[]).await, ["compliance"]);
    for (change, refusal) in [
        (&[GOVERNANCE, A_MONTH][..], "LOCK_COMPLIANCE"),
        (&[COMPLIANCE, A_MONTH, AN_HOUR], "LOCK_COOL_OFF"),
    ] {
        let answer = lock(&bench, change).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal));
    }
    lock(&bench, &[COMPLIANCE, A_MONTH]).await.ok();
    let shorter = lock(&bench, &[COMPLIANCE, A_DAY]).await;
    assert_eq!(shorter.refusal.as_deref(), Some("LOCK_COMPLIANCE"));
    sleep(Duration::from_hours(24 * 30)).await;
    assert_eq!(states(&bench, &[]).await, ["expired"]);
    call(&bench, "DeleteSnapshot", &[BY_ID]).await.ok();
    assert!(states(&bench, &[]).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn locks_are_found_by_snapshot_and_by_state_in_the_own_account() {
    let bench = Bench::new();
    lock(&bench, &[GOVERNANCE, A_DAY]).await.ok();
    assert!(bench.sandbox.edit(|aws| aws.lock_snapshot(PLAIN)));
    let answer = call(&bench, "DescribeLockedSnapshots", &[]).await.ok();
    assert_eq!(answer.texts("snapshotId"), [OWN]);
    assert_eq!(answer.text("ownerId").as_deref(), Some(CONSUMER));
    let in_state = |state| [("Filter.1.Name", "lock-state"), ("Filter.1.Value.1", state)];
    assert_eq!(states(&bench, &in_state("governance")).await.len(), 1);
    assert!(states(&bench, &in_state("compliance")).await.is_empty());
    assert_eq!(states(&bench, &[("SnapshotId.1", OWN)]).await.len(), 1);
    for id in [PLAIN, UNSHARED] {
        let foreign = call(&bench, "DescribeLockedSnapshots", &[("SnapshotId.1", id)]).await;
        assert_eq!(foreign.refusal.as_deref(), Some("SNAPSHOT_NOT_FOUND"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_needs_a_mode_a_duration_and_the_permission() {
    let bench = Bench::new();
    for (params, refusal) in [
        (&[A_DAY][..], "MISSING_PARAMETER"),
        (&[GOVERNANCE], "MISSING_PARAMETER"),
        (&[("LockMode", "legal"), A_DAY], "INVALID_PARAMETER_VALUE"),
        (
            &[GOVERNANCE, ("LockDuration", "36501")],
            "INVALID_PARAMETER_VALUE",
        ),
        (
            &[COMPLIANCE, A_DAY, ("CoolOffPeriod", "73")],
            "INVALID_PARAMETER_VALUE",
        ),
        (
            &[GOVERNANCE, ("ExpirationDate", "2030-01-01T00:00:00Z")],
            "NOT_IMPLEMENTED",
        ),
        (
            &[GOVERNANCE, A_DAY, ("DryRun", "true")],
            "DRY_RUN_OPERATION",
        ),
    ] {
        let answer = lock(&bench, params).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal), "{params:?}");
    }
    for action in ["LockSnapshot", "UnlockSnapshot", "DescribeLockedSnapshots"] {
        let mut params = vec![BY_ID, GOVERNANCE, A_DAY];
        params.truncate(match action {
            "LockSnapshot" => 3,
            "UnlockSnapshot" => 1,
            _ => 0,
        });
        let denied = bench.nobody.ec2(action, &params).await;
        assert_eq!(denied.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
    }
    let short = serde_json::json!({"NumericLessThan": {"ec2:SnapshotLockDuration": "30"}});
    let policy = document(&[when(allow("ec2:LockSnapshot", "*"), short)]).to_string();
    bench.set_policies(ADMIN, &[&policy]);
    let long = lock(&bench, &[GOVERNANCE, A_MONTH]).await;
    assert_eq!(long.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
    lock(&bench, &[GOVERNANCE, A_DAY]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_deregistration_reports_every_snapshot_once_and_keeps_a_locked_one() {
    let bench = Bench::new();
    let copy = bench.copy().await;
    assert_eq!(bench.end_of(&copy).await.0, "completed");
    let more = [
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.SnapshotId", copy.as_str()),
        ("BlockDeviceMapping.3.DeviceName", "/dev/sdg"),
        ("BlockDeviceMapping.3.Ebs.SnapshotId", copy.as_str()),
    ];
    let image = bench.register("three volumes", &more).await.ok();
    let image = image.text("imageId").expect("an image");
    assert!(bench.sandbox.edit(|aws| aws.lock_snapshot(OWN)));
    let params = [
        ("ImageId", image.as_str()),
        ("DeleteAssociatedSnapshots", "true"),
    ];
    let answer = call(&bench, "DeregisterImage", &params).await.ok();
    let (ids, codes) = (answer.texts("snapshotId"), answer.texts("returnCode"));
    let mut results: Vec<_> = ids.into_iter().zip(codes).collect();
    results.sort_by_key(|(id, _)| id != OWN);
    let expected = [(OWN, "client-error"), (copy.as_str(), "success")];
    assert_eq!(
        results,
        expected.map(|(id, code)| (id.to_owned(), code.to_owned()))
    );
    let left = bench.sandbox.snapshots(CONSUMER, WEST);
    assert_eq!(left.len(), 1);
    assert!(bench.sandbox.edit(|aws| aws.unlock_snapshot(OWN)));
    call(&bench, "DeleteSnapshot", &[BY_ID]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_deregistration_without_permission_to_delete_keeps_the_snapshots() {
    let bench = Bench::new();
    let image = bench.register("golden", &[]).await.ok();
    let image = image.text("imageId").expect("an image");
    let policy = document(&[allow("ec2:DeregisterImage", "*")]).to_string();
    bench.set_policies(ADMIN, &[&policy]);
    let params = [
        ("ImageId", image.as_str()),
        ("DeleteAssociatedSnapshots", "true"),
    ];
    let answer = call(&bench, "DeregisterImage", &params).await.ok();
    let code = answer.text("returnCode");
    assert_eq!(code.as_deref(), Some("missing-permissions"));
    assert_eq!(bench.sandbox.snapshots(CONSUMER, WEST).len(), 1);
}

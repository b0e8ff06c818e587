//! Fast snapshot restores: their states over time, and the snapshots that have none.

use std::time::Duration;

use tokio::time::sleep;

use crate::client::{Answer, Params};
use crate::worlds::{Bench, CONSUMER, OWN, PLAIN, ROOT, UNSHARED, WEST};

const ZONE: (&str, &str) = ("AvailabilityZone.1", "us-west-2a");

async fn call(bench: &Bench, action: &str, params: Params<'_>) -> Answer {
    bench.consumer.ec2(action, params).await
}

async fn shown(bench: &Bench, snapshot: &str) -> Answer {
    let params = [
        ("Filter.1.Name", "snapshot-id"),
        ("Filter.1.Value.1", snapshot),
    ];
    call(bench, "DescribeFastSnapshotRestores", &params)
        .await
        .ok()
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let snapshot = ("SourceSnapshotId.1", OWN);
    Some(match name {
        "ZONE_TWO_FORMS" => {
            let params = [snapshot, ZONE, ("AvailabilityZoneId.1", "usw2-az1")];
            call(&bench, "EnableFastSnapshotRestores", &params).await
        }
        "FAST_RESTORE_NOT_ENABLED" => {
            let params = [snapshot, ZONE];
            let answer = call(&bench, "DisableFastSnapshotRestores", &params)
                .await
                .ok();
            Answer {
                code: answer.text("code"),
                body: answer.text("message").expect("a message"),
                ..answer
            }
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_fast_restore_is_enabled_after_an_hour_for_each_tebibyte() {
    let bench = Bench::new();
    let params = [
        ("SourceSnapshotId.1", OWN),
        ("SourceSnapshotId.2", ROOT),
        ("AvailabilityZoneId.1", "usw2-az1"),
        ("AvailabilityZoneId.2", "usw2-az2"),
    ];
    let enable = async || {
        call(&bench, "EnableFastSnapshotRestores", &params)
            .await
            .ok()
    };
    let answer = enable().await;
    assert_eq!(answer.texts("state"), ["enabling"; 4]);
    assert_eq!(answer.texts("ownerId"), [CONSUMER; 4]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(shown(&bench, OWN).await.texts("state"), ["optimizing"; 2]);
    // 8 GiB take 28 seconds.
    sleep(Duration::from_secs(27)).await;
    assert_eq!(shown(&bench, OWN).await.texts("state"), ["optimizing"; 2]);
    sleep(Duration::from_secs(2)).await;
    let done = shown(&bench, OWN).await;
    assert_eq!(done.texts("state"), ["enabled"; 2]);
    assert_eq!(done.texts("availabilityZone"), ["us-west-2a", "us-west-2b"]);
    assert!(done.text("enabledTime") > done.text("optimizingTime"));
    assert_eq!(
        enable().await.texts("state"),
        ["enabled"; 4],
        "already enabled"
    );
    let restores = bench.sandbox.fast_restores(CONSUMER, WEST);
    assert_eq!(restores.len(), 4);
    assert!(restores.iter().all(|restore| restore.state == "enabled"));
    let params = [("SourceSnapshotId.1", OWN), ZONE];
    let disabled = call(&bench, "DisableFastSnapshotRestores", &params)
        .await
        .ok();
    assert_eq!(disabled.texts("state"), ["disabling"]);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(
        shown(&bench, OWN).await.texts("state"),
        ["disabled", "enabled"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_there_is_unsuccessful_in_every_zone() {
    let bench = Bench::new();
    let params = [
        ("SourceSnapshotId.1", UNSHARED),
        ("SourceSnapshotId.2", PLAIN),
        ZONE,
        ("AvailabilityZone.2", "us-west-2b"),
    ];
    let answer = call(&bench, "EnableFastSnapshotRestores", &params)
        .await
        .ok();
    assert_eq!(answer.texts("state"), ["enabling"; 2]);
    assert_eq!(answer.texts("code"), ["InvalidSnapshot.NotFound"; 2]);
    assert_eq!(bench.sandbox.fast_restores(CONSUMER, WEST).len(), 2);
    // A snapshot that is no longer shared takes its fast restores with it.
    assert!(
        bench
            .sandbox
            .edit(|aws| aws.unshare_snapshot(PLAIN, CONSUMER))
    );
    assert_eq!(shown(&bench, PLAIN).await.texts("state"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_for_fast_restores_names_snapshots_and_zones() {
    let bench = Bench::new();
    let snapshot = ("SourceSnapshotId.1", OWN);
    for (params, refusal) in [
        (&[snapshot][..], "MISSING_PARAMETER"),
        (&[ZONE], "MISSING_PARAMETER"),
        (
            &[snapshot, ("AvailabilityZone.1", "us-east-1a")],
            "INVALID_PARAMETER_VALUE",
        ),
        (
            &[snapshot, ("AvailabilityZoneId.1", "use1-az1")],
            "INVALID_PARAMETER_VALUE",
        ),
        (
            &[("SourceSnapshotId.1", "snap-?"), ZONE],
            "SNAPSHOT_MALFORMED",
        ),
        (&[snapshot, ZONE, ("DryRun", "true")], "DRY_RUN_OPERATION"),
    ] {
        let answer = call(&bench, "EnableFastSnapshotRestores", params).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal), "{params:?}");
    }
    let params = [snapshot, ZONE];
    let denied = bench
        .nobody
        .ec2("EnableFastSnapshotRestores", &params)
        .await;
    assert_eq!(denied.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
    let copy = bench.copy().await;
    let params = [("SourceSnapshotId.1", copy.as_str()), ZONE];
    let pending = call(&bench, "EnableFastSnapshotRestores", &params).await;
    assert_eq!(pending.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
}

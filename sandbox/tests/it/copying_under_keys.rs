//! Copies and keys: the key of a copy, the keys it may use, and its end without them.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::policies::{document, permit_owner};
use crate::refused_keys::grant;
use crate::worlds::{
    Bench, CONSUMER, COPIER, MANAGED, PRODUCER, ROOT, SOURCE_KEY, TARGET_KEY, WEST, world,
};

#[tokio::test(start_paused = true)]
async fn a_copy_without_a_key_is_under_aws_ebs_and_cannot_be_shared() {
    let bench = Bench::new();
    let id = bench
        .copy_of(ROOT, &[("KmsKeyId", "")])
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    assert_eq!(bench.end_of(&id).await.0, "completed");
    let params = [
        ("SnapshotId", id.as_str()),
        ("OperationType", "add"),
        ("UserId.1", PRODUCER),
    ];
    let refused = bench.consumer.ec2("ModifySnapshotAttribute", &params).await;
    assert_eq!(refused.refusal.as_deref(), Some("EBS_DEFAULT_KEY_SHARED"));
}

#[tokio::test(start_paused = true)]
async fn a_managed_key_is_unusable_to_other_accounts() {
    let bench = Bench::new();
    bench
        .sandbox
        .edit(|aws| aws.share_snapshot(MANAGED, CONSUMER));
    let id = bench
        .copy_of(MANAGED, &[])
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    let end = bench.end_of(&id).await;
    assert_eq!(
        end,
        (
            "error".to_owned(),
            "Given key ID is not accessible".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_under_an_unusable_key_ends_in_error() {
    const FOREIGN: &str = "arn:aws:kms:us-west-2:111111111111:key/private";
    for key in [
        "nowhere",
        FOREIGN,
        "arn:aws:kms:us-east-1:222222222222:key/east",
    ] {
        let bench = Bench::new();
        let id = bench
            .copy_of(ROOT, &[("KmsKeyId", key)])
            .await
            .ok()
            .text("snapshotId")
            .expect("a snapshot");
        assert_eq!(bench.state_of(&id).await.0, "pending", "{key}");
        assert_eq!(
            bench.end_of(&id).await.1,
            "Given key ID is not accessible",
            "{key}"
        );
    }
    let bench = Bench::new();
    bench.sandbox.edit(|aws| aws.disable_key(TARGET_KEY));
    let id = bench.copy().await;
    assert_eq!(bench.end_of(&id).await.1, "Given key ID is not accessible");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_loses_its_source_ends_in_error() {
    type Breaker = fn(&mut amiferry_sandbox::Aws) -> bool;
    let breakers: [(&str, Breaker); 4] = [
        ("no longer shared", |aws| {
            aws.unshare_snapshot(ROOT, CONSUMER)
        }),
        ("deleted", |aws| aws.delete_snapshot(ROOT)),
        ("key disabled", |aws| aws.disable_key(SOURCE_KEY)),
        ("role gone", |aws| {
            aws.drop_principal("arn:aws:iam::222222222222:user/admin")
        }),
    ];
    for (what, break_it) in breakers {
        let bench = Bench::new();
        let id = bench.copy().await;
        sleep(Duration::from_secs(20)).await;
        assert!(bench.sandbox.edit(break_it), "{what}");
        let copies = bench.sandbox.snapshots(CONSUMER, WEST);
        let copy = copies
            .iter()
            .find(|snapshot| snapshot.snapshot_id == id)
            .expect("the copy");
        assert_eq!(
            (copy.state.as_str(), copy.progress.as_str()),
            ("error", "52%"),
            "{what}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_by_grant_ends_in_error_once_it_is_revoked() {
    for revoked in [false, true] {
        let bench = Bench::new();
        bench.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER)]));
        let granted = bench.producer.kms("CreateGrant", grant()).await.ok().json();
        let copier = bench
            .ferry
            .assume(COPIER, &[("ExternalId", "shared-secret")])
            .await;
        let params = [
            ("SourceRegion", WEST),
            ("SourceSnapshotId", ROOT),
            ("Encrypted", "true"),
            ("KmsKeyId", TARGET_KEY),
        ];
        let id = copier
            .ec2("CopySnapshot", &params)
            .await
            .ok()
            .text("snapshotId")
            .expect("a snapshot");
        sleep(Duration::from_secs(10)).await;
        if revoked {
            let body = json!({"KeyId": SOURCE_KEY, "GrantId": granted["GrantId"]});
            bench.producer.kms("RevokeGrant", body).await.ok();
        }
        let expected = if revoked { "error" } else { "completed" };
        assert_eq!(bench.end_of(&id).await.0, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_grant_is_known_node_by_node_and_spares_copies_under_way() {
    let owner_only = document(&[permit_owner(PRODUCER)]);
    let bench = Bench::of(world().grant_delay(Duration::from_mins(3)));
    bench.set_key_policy(SOURCE_KEY, &owner_only);
    let mut body = grant();
    body["GranteePrincipal"] = json!("arn:aws:iam::222222222222:root");
    bench.producer.kms("CreateGrant", body).await.ok();
    let seen = async || {
        let mut seen = 0;
        for _ in 0..3 {
            let key = json!({"KeyId": SOURCE_KEY});
            let answer = bench.consumer.kms("DescribeKey", key).await;
            seen += u32::from(answer.status == 200);
        }
        seen
    };
    assert_eq!(seen().await, 0);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(seen().await, 1);
    let copies = [bench.copy().await, bench.copy().await, bench.copy().await];
    bench.sandbox.edit(|_| ());
    let mut completed = 0;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(seen().await, 2);
    for id in &copies {
        completed += u32::from(bench.end_of(id).await.0 == "completed");
    }
    assert_eq!(completed, 1);
    assert_eq!(seen().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_in_force_after_its_delay_within_its_constraints() {
    let owner_only = document(&[permit_owner(PRODUCER)]);
    let cases = [
        (json!(null), 0, "error"),
        (json!(null), 300, "completed"),
        (
            json!({"EncryptionContextSubset": {"aws:ebs:id": ROOT}}),
            300,
            "error",
        ),
        (
            json!({"EncryptionContextSubset": {"aws:ebs:id": "vol-0ffffffffffffffff"}}),
            300,
            "completed",
        ),
    ];
    for (constraints, wait, expected) in cases {
        let bench = Bench::of(world().grant_delay(Duration::from_mins(4)));
        bench.set_key_policy(SOURCE_KEY, &owner_only);
        let mut body = grant();
        body["GranteePrincipal"] = json!("arn:aws:iam::222222222222:root");
        body["Constraints"] = constraints.clone();
        bench.producer.kms("CreateGrant", body).await.ok();
        sleep(Duration::from_secs(wait)).await;
        let id = bench.copy().await;
        assert_eq!(
            bench.end_of(&id).await.0,
            expected,
            "{constraints} after {wait} s"
        );
    }
}

//! Volumes, their snapshots, and Availability Zones.

use std::time::Duration;

use serde_json::json;

use crate::client::{Answer, Params};
use crate::policies::{allow, document, permit_owner, when};
use crate::worlds::{Bench, CONSUMER, EAST, PRODUCER, TARGET_KEY, WEST};

const NOBODY: &str = "arn:aws:iam::222222222222:user/nobody";
const ZONE: (&str, &str) = ("AvailabilityZone", "us-west-2a");
const SIZE: (&str, &str) = ("Size", "1");

async fn create(bench: &Bench, more: Params<'_>) -> Answer {
    let mut params = vec![ZONE, SIZE];
    params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    params.extend_from_slice(more);
    bench.consumer.ec2("CreateVolume", &params).await
}

async fn created(bench: &Bench, more: Params<'_>) -> String {
    let answer = create(bench, more).await.ok();
    answer.text("volumeId").expect("a volume")
}

async fn snapshot(bench: &Bench, volume: &str) -> Answer {
    let params = [("VolumeId", volume)];
    bench.consumer.ec2("CreateSnapshot", &params).await
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
        "VOLUME_MALFORMED" => {
            bench
                .consumer
                .ec2("DeleteVolume", &[("VolumeId", "x")])
                .await
        }
        "VOLUME_NOT_FOUND" => {
            let params = [("VolumeId", "vol-12345678")];
            bench.consumer.ec2("DeleteVolume", &params).await
        }
        "VOLUME_ZONE" => create(&bench, &[("AvailabilityZone", "us-west-2z")]).await,
        "VOLUME_SIZE" => create(&bench, &[("Size", "16385")]).await,
        "VOLUME_KEY_NEEDS_ENCRYPTED" => create(&bench, &[("KmsKeyId", "target")]).await,
        "VOLUME_NOT_AVAILABLE" => {
            let bad = [("Encrypted", "true"), ("KmsKeyId", "nowhere")];
            let id = created(&bench, &bad).await;
            snapshot(&bench, &id).await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn the_zones_of_a_region_are_described() {
    let bench = Bench::new();
    let east = bench.consumer.in_region(EAST);
    let answer = east.ec2("DescribeAvailabilityZones", &[]).await.ok();
    assert_eq!(answer.texts("zoneName")[..2], ["us-east-1a", "us-east-1b"]);
    assert_eq!(answer.texts("zoneId")[..2], ["use1-az1", "use1-az2"]);
    let states = answer.texts("zoneState");
    assert!(states.iter().all(|state| state == "available"));
    assert_eq!(answer.text("regionName").as_deref(), Some(EAST));
    let named = [("ZoneName.1", "us-east-1a")];
    let answer = east.ec2("DescribeAvailabilityZones", &named).await;
    assert_eq!(answer.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
    let answer = bench.nobody.ec2("DescribeAvailabilityZones", &[]).await;
    assert_eq!(answer.refusal.as_deref(), Some("UNAUTHORIZED_OPERATION"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_created_found_by_tag_and_deleted() {
    let bench = Bench::new();
    let more = [
        ("VolumeType", "gp3"),
        ("TagSpecification.1.ResourceType", "volume"),
        ("TagSpecification.1.Tag.1.Key", "run"),
        ("TagSpecification.1.Tag.1.Value", "one"),
    ];
    let answer = create(&bench, &more).await.ok();
    assert_eq!(answer.text("status").as_deref(), Some("creating"));
    let id = answer.text("volumeId").expect("a volume");
    let other = created(&bench, &[]).await;
    for (name, value, expected) in [
        ("tag:run", "one", vec![id.clone()]),
        ("tag:run", "two", vec![]),
        ("tag-key", "run", vec![id.clone()]),
    ] {
        let params = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        let found = bench.consumer.ec2("DescribeVolumes", &params).await.ok();
        assert_eq!(found.texts("volumeId"), expected, "{name} {value}");
    }
    let by_id = [("VolumeId.1", other.as_str())];
    let found = bench.consumer.ec2("DescribeVolumes", &by_id).await.ok();
    assert_eq!(found.texts("volumeId"), std::slice::from_ref(&other));
    assert_eq!(found.text("status").as_deref(), Some("available"));
    assert_eq!(found.text("volumeType").as_deref(), Some("gp2"));
    let states = [("Filter.1.Name", "status"), ("Filter.1.Value.1", "x")];
    let answer = bench.consumer.ec2("DescribeVolumes", &states).await;
    assert_eq!(answer.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
    // Another account and another Region have no such volume.
    let elsewhere = bench.consumer.in_region(EAST);
    for client in [&bench.producer, &elsewhere] {
        let answer = client.ec2("DescribeVolumes", &by_id).await;
        assert_eq!(answer.refusal.as_deref(), Some("VOLUME_NOT_FOUND"));
    }
    let params = [("VolumeId", id.as_str())];
    bench.consumer.ec2("DeleteVolume", &params).await.ok();
    let left = bench.sandbox.volumes(CONSUMER, WEST);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].volume_id, other);
}

#[tokio::test(start_paused = true)]
async fn a_client_token_makes_one_volume() {
    let bench = Bench::new();
    let token = ("ClientToken", "one");
    let first = created(&bench, &[token]).await;
    assert_eq!(created(&bench, &[token]).await, first);
    assert_eq!(bench.sandbox.volumes(CONSUMER, WEST).len(), 1);
    let other = create(&bench, &[token, ("Size", "2")]).await;
    assert_eq!(other.refusal.as_deref(), Some("CLIENT_TOKEN_REUSED"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for (name, value, refusal) in [
        ("VolumeType", "io2", "NOT_IMPLEMENTED"),
        ("VolumeType", "gp4", "INVALID_PARAMETER_VALUE"),
        ("SnapshotId", "snap-12345678", "NOT_IMPLEMENTED"),
        ("Colour", "red", "UNKNOWN_PARAMETER"),
        ("Size", "", "MISSING_PARAMETER"),
        ("AvailabilityZone", "", "MISSING_PARAMETER"),
        ("DryRun", "true", "DRY_RUN_OPERATION"),
    ] {
        let answer = create(&bench, &[(name, value)]).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal), "{name} {value}");
    }
    assert!(bench.sandbox.volumes(CONSUMER, WEST).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_volume_under_a_key_that_ec2_may_not_use_ends_in_error() {
    const ENCRYPTED: (&str, &str) = ("Encrypted", "true");
    let bench = Bench::new();
    for (key, state) in [
        ("target", "available"),
        ("alias/amis", "available"),
        ("alias/aws/ebs", "available"),
        ("", "available"),
        ("nowhere", "error"),
        ("arn:aws:kms:us-west-2:111111111111:key/private", "error"),
    ] {
        let id = created(&bench, &[ENCRYPTED, ("KmsKeyId", key)]).await;
        let volumes = bench.sandbox.volumes(CONSUMER, WEST);
        let volume = volumes.iter().find(|volume| volume.volume_id == id);
        let volume = volume.expect("the volume");
        assert_eq!((volume.state.as_str(), volume.encrypted), (state, true));
    }
    bench.set_key_policy(TARGET_KEY, document(&[permit_owner(PRODUCER)]));
    let id = created(&bench, &[ENCRYPTED, ("KmsKeyId", "target")]).await;
    let by_id = [("VolumeId.1", id.as_str())];
    let found = bench.consumer.ec2("DescribeVolumes", &by_id).await.ok();
    assert_eq!(found.text("status").as_deref(), Some("error"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_volume_has_its_key_and_its_encryption_context() {
    let bench = Bench::new();
    let more = [("Encrypted", "true"), ("KmsKeyId", "target")];
    let volume = created(&bench, &more).await;
    let params = [
        ("VolumeId", volume.as_str()),
        ("Description", "empty"),
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", "run"),
        ("TagSpecification.1.Tag.1.Value", "one"),
    ];
    let answer = bench.consumer.ec2("CreateSnapshot", &params).await.ok();
    let id = answer.text("snapshotId").expect("a snapshot");
    assert_eq!(answer.text("status").as_deref(), Some("pending"));
    assert_eq!(bench.state_of(&id).await.0, "pending");
    let early = bench.copy_of(&id, &[]).await;
    assert_eq!(early.refusal.as_deref(), Some("COPY_FROM_NOT_COMPLETED"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.state_of(&id).await.0, "completed");
    let snapshot = bench.sandbox.edit(|aws| aws.snapshot(&id));
    let snapshot = snapshot.expect("the snapshot");
    assert_eq!(snapshot.kms_key_arn.as_deref(), Some(TARGET_KEY));
    let context = snapshot.encryption_context_id.as_deref();
    assert_eq!(context, Some(volume.as_str()));
    assert_eq!((snapshot.volume_size, snapshot.stored_mib), (1, Some(0)));
    assert_eq!(snapshot.tags["run"], "one");
    let copy = bench.copy_of(&id, &[]).await.ok();
    let copy = copy.text("snapshotId").expect("a copy");
    assert_eq!(bench.end_of(&copy).await.0, "completed");
    bench
        .register("empty", &[("BlockDeviceMapping.1.Ebs.SnapshotId", &id)])
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_volume_deleted_while_pending_leaves_nothing() {
    let bench = Bench::new();
    let volume = created(&bench, &[]).await;
    let answer = snapshot(&bench, &volume).await.ok();
    let id = answer.text("snapshotId").expect("a snapshot");
    let params = [("SnapshotId", id.as_str())];
    bench.consumer.ec2("DeleteSnapshot", &params).await.ok();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(bench.sandbox.edit(|aws| aws.snapshot(&id)).is_none());
}

#[tokio::test(start_paused = true)]
async fn volumes_and_their_snapshots_need_permissions_of_their_own() {
    let bench = Bench::new();
    let volume = created(&bench, &[]).await;
    let tagged = [
        ZONE,
        SIZE,
        ("TagSpecification.1.ResourceType", "volume"),
        ("TagSpecification.1.Tag.1.Key", "run"),
    ];
    let of_volume = [("VolumeId", volume.as_str())];
    let anywhere = "arn:aws:ec2:us-west-2:222222222222:volume/*";
    let only_one = when(
        allow("ec2:CreateVolume", anywhere),
        json!({"NumericLessThanEquals": {"ec2:VolumeSize": "1"}}),
    );
    let small = [ZONE, ("Size", "2")];
    let cases: [(&str, Params<'_>, Vec<serde_json::Value>, u16); 11] = [
        ("CreateVolume", &[ZONE, SIZE], vec![], 403),
        ("CreateVolume", &[ZONE, SIZE], vec![only_one.clone()], 200),
        ("CreateVolume", &small, vec![only_one.clone()], 403),
        ("CreateVolume", &tagged, vec![only_one.clone()], 403),
        (
            "CreateVolume",
            &tagged,
            vec![only_one, allow("ec2:CreateTags", anywhere)],
            200,
        ),
        ("DescribeVolumes", &[], vec![], 403),
        ("CreateSnapshot", &of_volume, vec![], 403),
        (
            "CreateSnapshot",
            &of_volume,
            vec![allow("ec2:CreateSnapshot", anywhere)],
            403,
        ),
        (
            "CreateSnapshot",
            &of_volume,
            vec![
                allow("ec2:CreateSnapshot", anywhere),
                allow("ec2:CreateSnapshot", "arn:aws:ec2:us-west-2::snapshot/*"),
            ],
            200,
        ),
        ("DeleteVolume", &of_volume, vec![], 403),
        (
            "DeleteVolume",
            &of_volume,
            vec![allow("ec2:DeleteVolume", anywhere)],
            200,
        ),
    ];
    for (operation, params, mut statements, status) in cases {
        statements.push(allow("ec2:DescribeRegions", "*"));
        let policy = document(&statements).to_string();
        bench.set_policies(NOBODY, &[&policy]);
        let answer = bench.nobody.ec2(operation, params).await;
        assert_eq!(answer.status, status, "{operation} {policy}: {answer:?}");
    }
}

//! Provoking the refusals of snapshots, tags and copies.

use std::time::Duration;

use amiferry_sandbox::Limits;

use crate::client::Answer;
use crate::policies::{document, permit_owner};
use crate::worlds::{
    Bench, CONSUMER, EAST, IMAGE, MANAGED, OWN, PLAIN, PRODUCER, ROOT, SOURCE_KEY, UNSHARED, world,
};

pub async fn provoke(name: &str) -> Option<Answer> {
    if let Some(answer) = tags(name).await {
        return Some(answer);
    }
    if let Some(answer) = permissions(name).await {
        return Some(answer);
    }
    if let Some(answer) = asynchronous(name).await {
        return Some(answer);
    }
    let bench = Bench::new();
    Some(match name {
        "SNAPSHOT_MALFORMED" => {
            bench
                .consumer
                .ec2("DeleteSnapshot", &[("SnapshotId", "snap-x")])
                .await
        }
        "SNAPSHOT_NOT_FOUND" => {
            bench
                .consumer
                .ec2("DescribeSnapshots", &[("SnapshotId.1", UNSHARED)])
                .await
        }
        "SNAPSHOT_NOT_OWNED" => {
            bench
                .consumer
                .ec2("DeleteSnapshot", &[("SnapshotId", ROOT)])
                .await
        }
        "SNAPSHOT_IN_USE" => {
            bench
                .producer
                .ec2("DeleteSnapshot", &[("SnapshotId", ROOT)])
                .await
        }
        "COPY_FROM_NOT_COMPLETED" => {
            let pending = bench.copy().await;
            bench.copy_of(&pending, &[]).await
        }
        "COPY_ARCHIVED" => {
            bench.sandbox.edit(|aws| aws.archive_snapshot(ROOT));
            bench.copy_of(ROOT, &[]).await
        }
        "COPY_WRONG_ENDPOINT" => bench.copy_of(ROOT, &[("DestinationRegion", EAST)]).await,
        "COPY_UNKNOWN_REGION" => bench.copy_of(ROOT, &[("SourceRegion", "us-north-1")]).await,
        "COPY_KEY_NEEDS_ENCRYPTED" => bench.copy_of(PLAIN, &[("Encrypted", "")]).await,
        "COPY_CANNOT_DECRYPT" => {
            bench
                .copy_of(ROOT, &[("Encrypted", "false"), ("KmsKeyId", "")])
                .await
        }
        "COPY_LIMIT" => {
            for _ in 0..20 {
                bench.copy_of(ROOT, &[]).await.ok();
            }
            bench.copy_of(ROOT, &[]).await
        }
        "COPY_MINUTES" => {
            bench
                .copy_of(ROOT, &[("CompletionDurationMinutes", "20")])
                .await
        }
        "COPY_SNAPSHOT_THROUGHPUT" => {
            bench
                .sandbox
                .edit(|aws| aws.change_snapshot(ROOT, |s| s.volume_size = 16_384));
            bench
                .copy_of(ROOT, &[("CompletionDurationMinutes", "15")])
                .await
        }
        "COPY_REGION_THROUGHPUT" => {
            let bench = Bench::of(world().limits(Limits {
                concurrent_copies: 500,
                ..Limits::default()
            }));
            // Each copy takes 427 MiB/s: the fifth would exceed 2,000.
            bench
                .sandbox
                .edit(|aws| aws.change_snapshot(ROOT, |s| s.volume_size = 375));
            for _ in 0..4 {
                bench
                    .copy_of(ROOT, &[("CompletionDurationMinutes", "15")])
                    .await
                    .ok();
            }
            bench
                .copy_of(ROOT, &[("CompletionDurationMinutes", "15")])
                .await
        }
        _ => return None,
    })
}

async fn tags(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let create =
        |params: &'static [(&'static str, &'static str)]| bench.consumer.ec2("CreateTags", params);
    Some(match name {
        "TAG_RESERVED" => {
            create(&[
                ("ResourceId.1", OWN),
                ("Tag.1.Key", "aws:mine"),
                ("Tag.1.Value", "x"),
            ])
            .await
        }
        "TAG_LIMIT" => {
            let names: Vec<(String, String)> = (1..=51)
                .map(|i| (format!("Tag.{i}.Key"), format!("k{i}")))
                .collect();
            let mut params: Vec<_> = names
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            params.push(("ResourceId.1", OWN));
            bench.consumer.ec2("CreateTags", &params).await
        }
        "TAG_KEY_LENGTH" => {
            create(&[
                ("ResourceId.1", OWN),
                ("Tag.1.Key", ""),
                ("Tag.1.Value", "x"),
            ])
            .await
        }
        "TAG_DUPLICATE" => {
            create(&[
                ("ResourceId.1", OWN),
                ("Tag.1.Key", "a"),
                ("Tag.2.Key", "a"),
            ])
            .await
        }
        "TAG_RESOURCE_TYPE" => {
            let params = [
                ("TagSpecification.1.ResourceType", "image"),
                ("TagSpecification.1.Tag.1.Key", "a"),
            ];
            bench.copy_of(ROOT, &params).await
        }
        "TAG_RESOURCE_TYPE_MISSING" => {
            bench
                .copy_of(ROOT, &[("TagSpecification.1.Tag.1.Key", "a")])
                .await
        }
        "TAG_RESOURCE_ID" => create(&[("ResourceId.1", "i-12345678"), ("Tag.1.Key", "a")]).await,
        _ => return None,
    })
}

async fn permissions(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let modify = |params: &'static [(&'static str, &'static str)]| {
        bench.producer.ec2("ModifySnapshotAttribute", params)
    };
    Some(match name {
        "USER_ID_MALFORMED" => {
            const ORGANIZATION: &str =
                "arn:aws:organizations::999999999999:organization/o-a1b2c3d4e5";
            modify(&[
                ("SnapshotId", ROOT),
                ("OperationType", "add"),
                ("UserId.1", ORGANIZATION),
            ])
            .await
        }
        "PERMISSION_BOTH_WAYS" => {
            modify(&[
                ("SnapshotId", ROOT),
                ("CreateVolumePermission.Add.1.UserId", CONSUMER),
                ("CreateVolumePermission.Remove.1.UserId", CONSUMER),
            ])
            .await
        }
        "PERMISSION_TWO_FORMS" => {
            modify(&[
                ("SnapshotId", ROOT),
                ("CreateVolumePermission.Add.1.UserId", CONSUMER),
                ("OperationType", "add"),
            ])
            .await
        }
        "PERMISSION_CHANGES_LIMIT" => {
            let ids: Vec<(String, String)> = (1..=501)
                .map(|i| (format!("UserId.{i}"), format!("{i:012}")))
                .collect();
            let mut params: Vec<_> = ids.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            params.extend([("SnapshotId", ROOT), ("OperationType", "add")]);
            bench.producer.ec2("ModifySnapshotAttribute", &params).await
        }
        "PERMISSION_NOTHING" => modify(&[("SnapshotId", ROOT), ("OperationType", "add")]).await,
        "EBS_DEFAULT_KEY_SHARED" => {
            modify(&[
                ("SnapshotId", MANAGED),
                ("OperationType", "add"),
                ("UserId.1", CONSUMER),
            ])
            .await
        }
        "ENCRYPTED_SNAPSHOT_PUBLIC" => {
            modify(&[
                ("SnapshotId", ROOT),
                ("OperationType", "add"),
                ("UserGroup.1", "all"),
            ])
            .await
        }
        "USER_GROUP_UNKNOWN" => {
            modify(&[
                ("SnapshotId", PLAIN),
                ("OperationType", "add"),
                ("UserGroup.1", "friends"),
            ])
            .await
        }
        "ATTRIBUTE_UNKNOWN" => {
            let params = [("ImageId", IMAGE), ("Attribute", "colour")];
            bench.producer.ec2("DescribeImageAttribute", &params).await
        }
        _ => return None,
    })
}

/// Provokes a refusal that shows in the snapshot's state. The answer's body is the `StateMessage`.
async fn asynchronous(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let id = match name {
        "COPY_SOURCE_NOT_FOUND" => {
            let answer = bench.copy_of(UNSHARED, &[]).await;
            answer.ok().text("snapshotId").expect("a snapshot")
        }
        "COPY_KEY_NOT_ACCESSIBLE" => {
            bench.set_key_policy(SOURCE_KEY, &document(&[permit_owner(PRODUCER)]));
            bench.copy().await
        }
        "COPY_BAD_PRESIGNED_URL" => {
            let answer = bench
                .copy_of(ROOT, &[("PresignedUrl", "https://example.com/?x=y")])
                .await;
            answer.ok().text("snapshotId").expect("a snapshot")
        }
        "COPY_SOURCE_LOST" => {
            let id = bench.copy().await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            let params = [
                ("SnapshotId", ROOT),
                ("OperationType", "remove"),
                ("UserId.1", CONSUMER),
            ];
            bench
                .producer
                .ec2("ModifySnapshotAttribute", &params)
                .await
                .ok();
            id
        }
        _ => return None,
    };
    let (state, body) = bench.end_of(&id).await;
    assert_eq!(state, "error");
    Some(Answer {
        status: 200,
        refusal: None,
        code: None,
        body,
    })
}

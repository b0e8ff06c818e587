//! Provoking the refusals of snapshots, tags and copies.

use std::time::Duration;

use amiferry_sandbox::Limits;

use crate::client::Answer;
use crate::facts;
use crate::policies::{document, permit_owner};
use crate::worlds::{
    Bench, CONSUMER, EAST, IMAGE, MANAGED, OWN, PLAIN, PRODUCER, ROOT, SOURCE_KEY, UNSHARED, world,
};

pub async fn provoke(name: &str) -> Option<Answer> {
    first_of!(
        tags(name),
        permissions(name),
        asynchronous(name),
        copies(name),
        time_based(name),
        snapshots(name),
    )
}

async fn snapshots(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let (producer, consumer) = (&bench.producer, &bench.consumer);
    let (operation, client, params) = match name {
        "SNAPSHOT_MALFORMED" => ("DeleteSnapshot", consumer, [("SnapshotId", "snap-x")]),
        "SNAPSHOT_NOT_FOUND" => ("DescribeSnapshots", consumer, [("SnapshotId.1", UNSHARED)]),
        "SNAPSHOT_NOT_OWNED" => ("DeleteSnapshot", consumer, [("SnapshotId", ROOT)]),
        "SNAPSHOT_IN_USE" => ("DeleteSnapshot", producer, [("SnapshotId", ROOT)]),
        _ => return None,
    };
    Some(client.ec2(operation, &params).await)
}

async fn copies(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
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
            let params = [("Encrypted", "false"), ("KmsKeyId", "")];
            bench.copy_of(ROOT, &params).await
        }
        "COPY_SOURCE_KEY_REFUSED" => facts::without_source_key().await,
        "COPY_LIMIT" => {
            for _ in 0..20 {
                bench.copy_of(ROOT, &[]).await.ok();
            }
            bench.copy_of(ROOT, &[]).await
        }
        _ => return None,
    })
}

async fn time_based(name: &str) -> Option<Answer> {
    let limits = Limits {
        concurrent_copies: 500,
        ..Limits::default()
    };
    let bench = Bench::of(world().limits(limits));
    let copy = |minutes| bench.copy_of(ROOT, minutes);
    let in_15 = &[("CompletionDurationMinutes", "15")];
    let resize = |gib| {
        let sandbox = &bench.sandbox;
        sandbox.edit(|aws| aws.change_snapshot(ROOT, |snapshot| snapshot.volume_size = gib));
    };
    Some(match name {
        "COPY_MINUTES" => copy(&[("CompletionDurationMinutes", "20")]).await,
        "COPY_SNAPSHOT_THROUGHPUT" => {
            resize(16_384);
            copy(in_15).await
        }
        "COPY_REGION_THROUGHPUT" => {
            // Each copy takes 427 MiB/s, of 2,000: the fifth is slower, and leaves none.
            resize(375);
            for _ in 0..5 {
                copy(in_15).await.ok();
            }
            copy(in_15).await
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
    const ORGANIZATION: &str = "arn:aws:organizations::999999999999:organization/o-a1b2c3d4e5";
    const ADD: &str = "CreateVolumePermission.Add.1.UserId";
    const REMOVE: &str = "CreateVolumePermission.Remove.1.UserId";
    let bench = Bench::new();
    let producer = &bench.producer;
    if name == "ATTRIBUTE_UNKNOWN" {
        let params = [("ImageId", IMAGE), ("Attribute", "colour")];
        return Some(producer.ec2("DescribeImageAttribute", &params).await);
    }
    if name == "PERMISSION_CHANGES_LIMIT" {
        let ids = numbered("UserId", 501);
        let mut params: Vec<_> = ids.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        params.extend([("SnapshotId", ROOT), ("OperationType", "add")]);
        return Some(producer.ec2("ModifySnapshotAttribute", &params).await);
    }
    let add = ("OperationType", "add");
    let (snapshot, params) = match name {
        "USER_ID_MALFORMED" => (ROOT, vec![add, ("UserId.1", ORGANIZATION)]),
        "PERMISSION_BOTH_WAYS" => (ROOT, vec![(ADD, CONSUMER), (REMOVE, CONSUMER)]),
        "PERMISSION_TWO_FORMS" => (ROOT, vec![(ADD, CONSUMER), add]),
        "PERMISSION_NOTHING" => (ROOT, vec![add]),
        "EBS_DEFAULT_KEY_SHARED" => (MANAGED, vec![add, ("UserId.1", CONSUMER)]),
        "ENCRYPTED_SNAPSHOT_PUBLIC" => (ROOT, vec![add, ("UserGroup.1", "all")]),
        "USER_GROUP_UNKNOWN" => (PLAIN, vec![add, ("UserGroup.1", "friends")]),
        _ => return None,
    };
    let params = [vec![("SnapshotId", snapshot)], params].concat();
    Some(producer.ec2("ModifySnapshotAttribute", &params).await)
}

/// Returns this many numbered parameters, each with an account ID of its own.
pub fn numbered(name: &str, count: u32) -> Vec<(String, String)> {
    let numbers = 1..=count;
    numbers
        .map(|i| (format!("{name}.{i}"), format!("{i:012}")))
        .collect()
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
            bench.set_key_policy(SOURCE_KEY, document(&[permit_owner(PRODUCER)]));
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

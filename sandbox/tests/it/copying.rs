//! Copies: their duration, their content, and the changes that break them.

use std::time::Duration;

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Image, LaunchPermission, Snapshot};
use tokio::time::sleep;

use crate::worlds::{
    Bench, CONSUMER, EAST, IMAGE, PLAIN, PRODUCER, ROOT, TARGET_KEY, UNSHARED, WEST, world,
};

#[tokio::test(start_paused = true)]
async fn the_duration_of_a_copy_follows_from_size_and_throughput() {
    let bench = Bench::new();
    let more = [
        ("Description", "the root"),
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", "run"),
        ("TagSpecification.1.Tag.1.Value", "1"),
    ];
    let id = bench
        .copy_of(ROOT, &more)
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    assert_eq!(bench.state_of(&id).await.0, "pending");
    // 5 s and 8192 MiB at 250 MiB/s make 37.8 s.
    sleep(Duration::from_secs(19)).await;
    let seen = bench
        .consumer
        .ec2("DescribeSnapshots", &[("SnapshotId.1", &id)])
        .await
        .ok();
    assert_eq!(seen.text("progress").as_deref(), Some("50%"));
    sleep(Duration::from_secs(18)).await;
    assert_eq!(bench.state_of(&id).await.0, "pending");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.state_of(&id).await.0, "completed");
    let copy = bench
        .sandbox
        .edit(|aws| aws.snapshot(&id))
        .expect("the copy");
    assert_eq!(
        (copy.snapshot_id.as_str(), copy.progress.as_str()),
        (id.as_str(), "100%")
    );
    assert_eq!(copy.kms_key_arn.as_deref(), Some(TARGET_KEY));
    assert_eq!(copy.tags.get("run").map(String::as_str), Some("1"));
    assert!(!copy.tags.contains_key("Name"), "tags are not copied");
    assert_eq!(copy.source_snapshot_id.as_deref(), Some(ROOT));
}

#[tokio::test(start_paused = true)]
async fn a_new_snapshot_has_no_id_that_the_world_names() {
    let first = Bench::new().copy().await;
    let mut existing = world();
    let snapshot = Snapshot::new(EAST, &first, 1);
    existing.accounts[0].snapshots.push(snapshot);
    let second = Bench::of(existing).copy().await;
    assert_ne!(first, second);
    let mut named = world();
    let ebs = Ebs::snapshot(&second);
    let image = Image::new(WEST, "ami-0000000000000a009", "bereft")
        .mapping(BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(&first)))
        .mapping(BlockDeviceMapping::ebs("/dev/sdf", ebs));
    named.accounts[0].images.push(image);
    let third = Bench::of(named).copy().await;
    assert!(third != first && third != second);
}

#[tokio::test(start_paused = true)]
async fn the_worlds_speed_shortens_copies_and_not_the_clock() {
    let bench = Bench::of(world().speed(10.0));
    let id = bench.copy().await;
    sleep(Duration::from_millis(3700)).await;
    assert_eq!(bench.state_of(&id).await.0, "pending");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.state_of(&id).await.0, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_presigned_url_for_another_copy_fails_the_copy() {
    let bench = Bench::new();
    let there = bench.consumer.in_region(EAST);
    let url_params = [
        ("SourceRegion", WEST),
        ("SourceSnapshotId", ROOT),
        ("DestinationRegion", EAST),
        ("KmsKeyId", "east"),
        ("Encrypted", "true"),
    ];
    let good = bench.consumer.presigned(&url_params);
    let mut other = url_params;
    other[3].1 = "alias/amis";
    let mut lost = url_params;
    lost[2].1 = WEST;
    let bad = [
        bench.consumer.presigned(&other),
        bench.consumer.presigned(&lost),
        bench.consumer.presigned(&url_params[..3]),
        bench.producer.presigned(&url_params),
        there.presigned(&url_params),
        good.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        good.replace("https://ec2.us-west-2", "https://ec2.us-east-1"),
        "no url".to_owned(),
    ];
    for (url, expected) in [(&good, "completed")]
        .into_iter()
        .chain(bad.iter().map(|url| (url, "error")))
    {
        let mut params = url_params.to_vec();
        params.push(("PresignedUrl", url));
        let id = there
            .ec2("CopySnapshot", &params)
            .await
            .ok()
            .text("snapshotId")
            .expect("a snapshot");
        sleep(Duration::from_mins(3)).await;
        let seen = there
            .ec2("DescribeSnapshots", &[("SnapshotId.1", &id)])
            .await
            .ok();
        assert_eq!(
            seen.text("status").as_deref(),
            Some(expected),
            "{url}: {seen:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_presigned_url_fails_the_copy() {
    let bench = Bench::new();
    let params = [
        ("SourceRegion", WEST),
        ("SourceSnapshotId", ROOT),
        ("DestinationRegion", WEST),
        ("Encrypted", "true"),
        ("KmsKeyId", "alias/amis"),
    ];
    let url = bench
        .consumer
        .presigned_for(Duration::from_mins(1), &params);
    sleep(Duration::from_secs(59)).await;
    let in_time = bench
        .copy_of(ROOT, &[("PresignedUrl", &url)])
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    sleep(Duration::from_secs(2)).await;
    let late = bench
        .copy_of(ROOT, &[("PresignedUrl", &url)])
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    assert_eq!(bench.end_of(&in_time).await.0, "completed");
    assert_eq!(
        bench.state_of(&late).await,
        (
            "error".to_owned(),
            "The presigned URL is not valid: it has expired".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_between_regions_needs_no_presigned_url() {
    let bench = Bench::new();
    let there = bench.consumer.in_region(EAST);
    let params = [
        ("SourceRegion", WEST),
        ("SourceSnapshotId", ROOT),
        ("KmsKeyId", "east"),
        ("Encrypted", "true"),
    ];
    let id = there.ec2("CopySnapshot", &params).await.ok();
    let id = id.text("snapshotId").expect("a snapshot");
    sleep(Duration::from_mins(3)).await;
    let copy = bench.sandbox.edit(|aws| aws.snapshot(&id));
    assert_eq!(copy.expect("the copy").state, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_source_shared_after_the_call_does_not_save_the_copy() {
    let bench = Bench::new();
    let nowhere = "snap-0000000000000dead";
    for source in [UNSHARED, nowhere] {
        let answer = bench.copy_of(source, &[]).await.ok();
        let id = answer.text("snapshotId").expect("a snapshot");
        bench
            .sandbox
            .edit(|aws| aws.share_snapshot(UNSHARED, CONSUMER));
        assert_eq!(bench.state_of(&id).await.0, "pending");
        let (state, message) = bench.end_of(&id).await;
        assert_eq!(
            (state.as_str(), message.as_str()),
            ("error", "Source snapshot is not found")
        );
        bench
            .sandbox
            .edit(|aws| aws.unshare_snapshot(UNSHARED, CONSUMER));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_copy_counts_until_it_would_have_completed() {
    let bench = Bench::new();
    let first = bench.copy().await;
    for _ in 1..20 {
        bench.copy().await;
    }
    assert_eq!(
        bench.copy_of(ROOT, &[]).await.text("Code").as_deref(),
        Some("ResourceLimitExceeded")
    );
    bench
        .consumer
        .ec2("DeleteSnapshot", &[("SnapshotId", &first)])
        .await
        .ok();
    assert_eq!(bench.sandbox.edit(|aws| aws.snapshot(&first)), None);
    assert_eq!(
        bench.copy_of(ROOT, &[]).await.text("Code").as_deref(),
        Some("ResourceLimitExceeded")
    );
    sleep(Duration::from_mins(1)).await;
    bench.copy().await;
    assert_eq!(bench.sandbox.edit(|aws| aws.pending_copies().len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_test_completes_or_fails_a_copy() {
    let bench = Bench::new();
    let (done, failed, later) = (bench.copy().await, bench.copy().await, bench.copy().await);
    bench.sandbox.edit(|aws| {
        assert!(aws.complete_copy(&done));
        assert!(aws.fail_copy(&failed, "no luck"));
        assert!(aws.fail_copy_at(&later, 37, "no luck either"));
        assert!(!aws.complete_copy("snap-12345678"));
    });
    assert_eq!(bench.state_of(&done).await.0, "completed");
    assert_eq!(
        bench.state_of(&failed).await,
        ("error".to_owned(), "no luck".to_owned())
    );
    assert_eq!(bench.state_of(&later).await.0, "pending");
    assert_eq!(
        bench.end_of(&later).await,
        ("error".to_owned(), "no luck either".to_owned())
    );
    let mut cursed = world();
    cursed.accounts[0].snapshots[0].copies_fail_at = Some((50, "cursed".to_owned()));
    let bench = Bench::of(cursed);
    let id = bench.copy().await;
    assert_eq!(
        bench.end_of(&id).await,
        ("error".to_owned(), "cursed".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_based_copy_completes_in_time() {
    let bench = Bench::new();
    bench.sandbox.edit(|aws| aws.set_copy_mib_per_second(1.0));
    let id = bench
        .copy_of(ROOT, &[("CompletionDurationMinutes", "15")])
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    sleep(Duration::from_mins(15)).await;
    assert_eq!(bench.state_of(&id).await.0, "completed");
    let seen = bench
        .consumer
        .ec2("DescribeSnapshots", &[("SnapshotId.1", &id)])
        .await
        .ok();
    assert_eq!(seen.text("transferType").as_deref(), Some("time-based"));
}

async fn time_based(bench: &Bench) -> String {
    let answer = bench.copy_of(ROOT, &[("CompletionDurationMinutes", "15")]);
    answer.await.ok().text("snapshotId").expect("a snapshot")
}

#[tokio::test(start_paused = true)]
async fn time_based_copies_of_one_snapshot_are_made_one_after_another() {
    let bench = Bench::new();
    bench.sandbox.edit(|aws| aws.set_copy_mib_per_second(1.0));
    let (first, second) = (time_based(&bench).await, time_based(&bench).await);
    sleep(Duration::from_mins(20)).await;
    assert_eq!(bench.state_of(&first).await.0, "completed");
    assert_eq!(bench.state_of(&second).await.0, "pending");
    sleep(Duration::from_mins(10)).await;
    assert_eq!(bench.state_of(&second).await.0, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_time_based_copy_with_too_little_throughput_left_is_slower() {
    let bench = Bench::new();
    bench
        .sandbox
        .edit(|aws| aws.change_snapshot(ROOT, |s| s.volume_size = 375));
    // 427 MiB/s each: 293 are left for the fifth.
    let mut last = String::new();
    for _ in 0..5 {
        last = time_based(&bench).await;
    }
    sleep(Duration::from_mins(76)).await;
    assert_eq!(bench.state_of(&last).await.0, "pending");
    sleep(Duration::from_mins(7)).await;
    assert_eq!(bench.state_of(&last).await.0, "completed");
}

/// A copy that begins before its node knows of the permission is accepted and ends in `error`.
#[tokio::test(start_paused = true)]
async fn a_new_permission_counts_node_by_node() {
    let bench = Bench::of(world().permission_delay(Duration::from_mins(4)));
    let given = [
        ("SnapshotId", UNSHARED),
        ("CreateVolumePermission.Add.1.UserId", CONSUMER),
    ];
    bench
        .producer
        .ec2("ModifySnapshotAttribute", &given)
        .await
        .ok();
    let begin = async |count: usize| {
        let mut ids = Vec::new();
        for _ in 0..count {
            let answer = bench.copy_of(UNSHARED, &[]).await.ok();
            ids.push(answer.text("snapshotId").expect("accepted"));
        }
        ids
    };
    let first = begin(1).await;
    sleep(Duration::from_mins(2)).await;
    let between = begin(8).await;
    sleep(Duration::from_mins(2)).await;
    let last = begin(8).await;
    sleep(Duration::from_hours(2)).await;
    let ends = async |ids: Vec<String>| {
        let mut ends = Vec::new();
        for id in ids {
            ends.push(bench.state_of(&id).await);
        }
        ends
    };
    let not_found = (
        "error".to_owned(),
        "Source snapshot is not found".to_owned(),
    );
    assert_eq!(ends(first).await, std::slice::from_ref(&not_found));
    let between = ends(between).await;
    assert!(between.contains(&not_found), "{between:?}");
    assert!(
        between.iter().any(|end| end.0 == "completed"),
        "{between:?}"
    );
    assert!(ends(last).await.iter().all(|end| end.0 == "completed"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_an_unencrypted_snapshot_is_encrypted_only_on_request() {
    let bench = Bench::new();
    let more = [("Encrypted", ""), ("KmsKeyId", "")];
    let id = bench
        .copy_of(PLAIN, &more)
        .await
        .ok()
        .text("snapshotId")
        .expect("a snapshot");
    assert_eq!(bench.end_of(&id).await.0, "completed");
    let find = |s: Snapshot| (s.snapshot_id == id).then_some(s);
    let copy = bench
        .sandbox
        .snapshots(CONSUMER, WEST)
        .into_iter()
        .find_map(find)
        .expect("the copy");
    assert!(!copy.encrypted && copy.kms_key_arn.is_none());
    // A public snapshot is visible as such, so that tests can assert that none is public.
    let public = [
        ("SnapshotId", PLAIN),
        ("OperationType", "add"),
        ("UserGroup.1", "all"),
    ];
    bench
        .producer
        .ec2("ModifySnapshotAttribute", &public)
        .await
        .ok();
    assert!(
        bench
            .sandbox
            .snapshots(PRODUCER, WEST)
            .iter()
            .any(|snapshot| snapshot.public)
    );
}

#[tokio::test(start_paused = true)]
async fn copy_image_copies_all_attributes_and_repeats_by_token() {
    let bench = Bench::new();
    bench.sandbox.edit(|aws| {
        aws.change_image(IMAGE, |image| {
            image
                .launch_permissions
                .insert(LaunchPermission::User(CONSUMER.to_owned()));
            image.boot_mode = Some("uefi".to_owned());
            image.tpm_support = Some("v2.0".to_owned());
        })
    });
    let params = [
        ("SourceRegion", WEST),
        ("SourceImageId", IMAGE),
        ("Name", "copy"),
        ("ClientToken", "once"),
        ("Encrypted", "true"),
        ("KmsKeyId", "alias/amis"),
    ];
    let first = bench
        .consumer
        .ec2("CopyImage", &params)
        .await
        .ok()
        .text("imageId");
    let again = bench
        .consumer
        .ec2("CopyImage", &params)
        .await
        .ok()
        .text("imageId");
    assert_eq!(first, again);
    assert_eq!(bench.sandbox.images(CONSUMER, WEST)[0].state, "pending");
    sleep(Duration::from_mins(1)).await;
    let images = bench.sandbox.images(CONSUMER, WEST);
    let [image] = images.as_slice() else {
        panic!("{images:?}")
    };
    assert_eq!(
        (image.state.as_str(), image.boot_mode.as_deref()),
        ("available", Some("uefi"))
    );
    assert_eq!(image.source_image_id.as_deref(), Some(IMAGE));
    assert_eq!(image.block_device_mappings.len(), 2);
    let copied = &image.snapshot_ids()[0];
    assert_ne!(copied, ROOT);
    let key = bench
        .sandbox
        .edit(|aws| aws.snapshot(copied))
        .expect("a snapshot")
        .kms_key_arn;
    assert_eq!(key.as_deref(), Some(TARGET_KEY));
}

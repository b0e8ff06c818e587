//! The resources that each account sees, filtered and page by page.

use amiferry_sandbox::{LaunchPermission, Limits, Snapshot};

use crate::worlds::{Bench, CONSUMER, IMAGE, OWN, PLAIN, PRODUCER, ROOT, UNSHARED, WEST, world};

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_only_to_owner_and_permitted_accounts() {
    let bench = Bench::new();
    let seen = bench.consumer.ec2("DescribeSnapshots", &[]).await.ok();
    assert_eq!(seen.texts("snapshotId"), [ROOT, PLAIN, OWN]);
    assert!(
        !seen.body.contains("<value>root</value>"),
        "tags are the owner's"
    );
    let own = bench
        .consumer
        .ec2("DescribeSnapshots", &[("Owner.1", "self")])
        .await
        .ok();
    assert_eq!(own.texts("snapshotId"), [OWN]);
    let shared = bench
        .consumer
        .ec2("DescribeSnapshots", &[("RestorableBy.1", "self")])
        .await
        .ok();
    assert_eq!(shared.texts("snapshotId"), [ROOT, PLAIN]);
    let hidden = bench
        .consumer
        .ec2("DescribeSnapshots", &[("SnapshotId.1", UNSHARED)])
        .await;
    assert_eq!(
        hidden.text("Code").as_deref(),
        Some("InvalidSnapshot.NotFound")
    );
    let elsewhere = bench
        .consumer
        .in_region("us-east-1")
        .ec2("DescribeSnapshots", &[])
        .await
        .ok();
    assert!(elsewhere.texts("snapshotId").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_image_shows_by_account_organization_and_unit() {
    let organization = "arn:aws:organizations::999999999999:organization/o-a1b2c3d4e5";
    let outer = "arn:aws:organizations::999999999999:ou/o-a1b2c3d4e5/ou-ab12-11111111";
    let inner = "arn:aws:organizations::999999999999:ou/o-a1b2c3d4e5/ou-ab12-22222222";
    for (parameter, value) in [
        ("LaunchPermission.Add.1.UserId", CONSUMER),
        ("LaunchPermission.Add.1.OrganizationArn", organization),
        ("LaunchPermission.Add.1.OrganizationalUnitArn", outer),
        ("LaunchPermission.Add.1.OrganizationalUnitArn", inner),
    ] {
        let bench = Bench::new();
        assert!(
            bench
                .consumer
                .ec2("DescribeImages", &[])
                .await
                .ok()
                .texts("imageId")
                .is_empty()
        );
        bench
            .producer
            .ec2(
                "ModifyImageAttribute",
                &[("ImageId", IMAGE), (parameter, value)],
            )
            .await
            .ok();
        assert_eq!(
            bench
                .consumer
                .ec2("DescribeImages", &[])
                .await
                .ok()
                .texts("imageId"),
            [IMAGE]
        );
        let params = [("ImageId", IMAGE), ("Attribute", "launchPermission")];
        let listed = bench
            .producer
            .ec2("DescribeImageAttribute", &params)
            .await
            .ok();
        assert!(listed.body.contains(value), "{listed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_the_permissions_that_were_added_and_not_those_removed() {
    let bench = Bench::new();
    let producer = &bench.producer;
    let other = "333333333333";
    let attribute = ("Attribute", "createVolumePermission");
    let modify = async |params: &[(&str, &str)]| {
        let params = [&[("SnapshotId", ROOT)], params].concat();
        producer.ec2("ModifySnapshotAttribute", &params).await.ok();
    };
    modify(&[attribute, ("OperationType", "add"), ("UserId.1", other)]).await;
    modify(&[("CreateVolumePermission.Remove.1.UserId", CONSUMER)]).await;
    let params = [("SnapshotId", ROOT), attribute];
    let listed = producer.ec2("DescribeSnapshotAttribute", &params).await;
    assert_eq!(listed.ok().texts("userId"), [other]);
}

#[tokio::test(start_paused = true)]
async fn an_image_has_a_launch_permission_until_it_is_removed() {
    let bench = Bench::new();
    let other = "333333333333";
    let modify = async |operation: &str| {
        let params = [
            ("ImageId", IMAGE),
            ("Attribute", "launchPermission"),
            ("OperationType", operation),
            ("UserId.1", other),
        ];
        let producer = &bench.producer;
        producer.ec2("ModifyImageAttribute", &params).await.ok();
        let image = bench.sandbox.images(PRODUCER, WEST).remove(0);
        image.launch_permissions
    };
    let permission = LaunchPermission::User(other.to_owned());
    assert!(modify("add").await.contains(&permission));
    assert!(modify("remove").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn filters_are_joined_by_and_and_their_values_by_or() {
    let bench = Bench::new();
    let find = |params: &'static [(&'static str, &'static str)]| async {
        bench
            .producer
            .ec2("DescribeSnapshots", params)
            .await
            .ok()
            .texts("snapshotId")
    };
    let tagged = [
        ("Filter.1.Name", "tag:Name"),
        ("Filter.1.Value.1", "r*t"),
        ("Filter.2.Name", "encrypted"),
        ("Filter.2.Value.1", "true"),
    ];
    assert_eq!(
        bench
            .producer
            .ec2("DescribeSnapshots", &tagged)
            .await
            .ok()
            .texts("snapshotId"),
        [ROOT]
    );
    assert_eq!(
        find(&[
            ("Filter.1.Name", "volume-size"),
            ("Filter.1.Value.1", "100"),
            ("Filter.1.Value.2", "7")
        ])
        .await,
        [UNSHARED]
    );
    assert_eq!(
        find(&[("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "Name")]).await,
        [ROOT]
    );
    assert!(
        find(&[("Filter.1.Name", "status"), ("Filter.1.Value.1", "error")])
            .await
            .is_empty()
    );
    let by_snapshot = [
        ("Filter.1.Name", "block-device-mapping.snapshot-id"),
        ("Filter.1.Value.1", ROOT),
    ];
    assert_eq!(
        bench
            .producer
            .ec2("DescribeImages", &by_snapshot)
            .await
            .ok()
            .texts("imageId"),
        [IMAGE]
    );
}

#[tokio::test(start_paused = true)]
async fn pages_are_complete_even_if_some_are_empty() {
    for empty_pages in [false, true] {
        let bench = Bench::of(world().limits(Limits {
            empty_pages,
            ..Limits::default()
        }));
        for i in 0..23 {
            let snapshot = Snapshot::new(WEST, &format!("snap-000000000000c{i:04}"), 1);
            assert_eq!(
                bench
                    .sandbox
                    .edit(|aws| aws.add_snapshot(CONSUMER, snapshot)),
                Ok(())
            );
        }
        let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let mut params = vec![("MaxResults", "10"), ("Owner.1", "self")];
            params.extend(token.as_deref().map(|token| ("NextToken", token)));
            let page = bench.consumer.ec2("DescribeSnapshots", &params).await.ok();
            sizes.push(page.texts("snapshotId").len());
            found.extend(page.texts("snapshotId"));
            token = page.text("nextToken");
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), 24);
        let expected: &[usize] = if empty_pages {
            &[0, 10, 10, 4]
        } else {
            &[10, 10, 4]
        };
        assert_eq!(sizes, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn regions_and_default_keys_are_described() {
    let bench = Bench::new();
    bench
        .sandbox
        .edit(|aws| aws.disable_region(CONSUMER, "ap-east-1"));
    let regions = bench
        .consumer
        .ec2("DescribeRegions", &[])
        .await
        .ok()
        .texts("regionName");
    assert!(regions.contains(&WEST.to_owned()) && !regions.contains(&"ap-east-1".to_owned()));
    let all = bench
        .consumer
        .ec2(
            "DescribeRegions",
            &[("AllRegions", "true"), ("RegionName.1", "ap-east-1")],
        )
        .await
        .ok();
    assert_eq!(all.text("optInStatus").as_deref(), Some("not-opted-in"));
    let key = bench.consumer.ec2("GetEbsDefaultKmsKeyId", &[]).await.ok();
    assert_eq!(key.text("kmsKeyId").as_deref(), Some("alias/aws/ebs"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_checks_permission_and_changes_nothing() {
    let bench = Bench::new();
    let calls: [(&str, &[(&str, &str)]); 6] = [
        (
            "CopySnapshot",
            &[
                ("SourceRegion", WEST),
                ("SourceSnapshotId", ROOT),
                ("DryRun", "true"),
            ],
        ),
        (
            "CopyImage",
            &[
                ("SourceRegion", WEST),
                ("SourceImageId", IMAGE),
                ("Name", "copy"),
                ("DryRun", "true"),
            ],
        ),
        ("DeleteSnapshot", &[("SnapshotId", OWN), ("DryRun", "true")]),
        (
            "CreateTags",
            &[
                ("ResourceId.1", OWN),
                ("Tag.1.Key", "a"),
                ("Tag.1.Value", "b"),
                ("DryRun", "true"),
            ],
        ),
        (
            "ModifySnapshotAttribute",
            &[
                ("SnapshotId", OWN),
                ("OperationType", "add"),
                ("UserId.1", PRODUCER),
                ("DryRun", "true"),
            ],
        ),
        ("DescribeImages", &[("DryRun", "true")]),
    ];
    for (action, params) in calls {
        let allowed = bench.consumer.ec2(action, params).await;
        assert_eq!(
            (allowed.status, allowed.text("Code").as_deref()),
            (412, Some("DryRunOperation")),
            "{action}"
        );
        let denied = bench.nobody.ec2(action, params).await;
        assert_eq!(
            (denied.status, denied.text("Code").as_deref()),
            (403, Some("UnauthorizedOperation")),
            "{action}"
        );
    }
    let snapshots = bench.sandbox.snapshots(CONSUMER, WEST);
    assert!(snapshots.len() == 1 && snapshots[0].tags.is_empty());
}

//! RegisterImage and its undoing.

use std::time::Duration;

use crate::worlds::{Bench, CONSUMER, IMAGE, OWN, PRODUCER, ROOT, WEST, world};

const FULL: [(&str, &str); 17] = [
    ("Description", "all of it"),
    ("EnaSupport", "true"),
    ("SriovNetSupport", "simple"),
    ("BootMode", "uefi"),
    ("TpmSupport", "v2.0"),
    ("ImdsSupport", "v2.0"),
    ("UefiData", "QU1aTlVFRkk="),
    ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
    ("BlockDeviceMapping.1.Ebs.VolumeSize", "10"),
    ("BlockDeviceMapping.1.Ebs.Iops", "4000"),
    ("BlockDeviceMapping.1.Ebs.Throughput", "300"),
    ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
    ("BlockDeviceMapping.2.DeviceName", "/dev/sdb"),
    ("BlockDeviceMapping.2.VirtualName", "ephemeral0"),
    ("TagSpecification.1.ResourceType", "image"),
    ("TagSpecification.1.Tag.1.Key", "run"),
    ("TagSpecification.1.Tag.1.Value", "1"),
];

#[tokio::test(start_paused = true)]
async fn a_registered_image_keeps_the_attributes_of_the_request() {
    let bench = Bench::new();
    bench.register("full", &FULL).await.ok();
    let image = bench.sandbox.images(CONSUMER, WEST).remove(0);
    assert!(image.ena_support && image.state == "available");
    assert_eq!(image.uefi_data.as_deref(), Some("QU1aTlVFRkk="));
    let [root, ephemeral] = image.block_device_mappings.as_slice() else {
        panic!("{image:?}");
    };
    let ebs = root.ebs.as_ref().expect("a volume");
    assert_eq!(
        (ebs.volume_size, ebs.iops, ebs.throughput),
        (Some(10), Some(4000), Some(300))
    );
    assert!(ebs.encrypted && ebs.delete_on_termination == Some(true));
    assert_eq!(ephemeral.virtual_name.as_deref(), Some("ephemeral0"));
}

#[tokio::test(start_paused = true)]
async fn a_registered_image_has_awss_defaults_for_the_rest() {
    let bench = Bench::new();
    let bare = [("Architecture", ""), ("VirtualizationType", "")];
    bench.register("bare", &bare).await.ok();
    let image = bench.sandbox.images(CONSUMER, WEST).remove(0);
    assert_eq!(image.architecture, "i386");
    assert_eq!(image.virtualization_type, "paravirtual");
    assert_eq!(image.platform_details, "Linux/UNIX");
}

#[tokio::test(start_paused = true)]
async fn a_registered_image_takes_its_billing_from_the_root_snapshot() {
    let bench = Bench::new();
    bench.sandbox.edit(|aws| {
        aws.change_snapshot(OWN, |snapshot| {
            let red_hat = (
                "Red Hat Enterprise Linux".to_owned(),
                "RunInstances:0010".to_owned(),
            );
            snapshot.lineage_platform = Some(red_hat);
        })
    });
    bench.register("red hat", &[]).await.ok();
    let image = &bench.sandbox.images(CONSUMER, WEST)[0];
    assert_eq!(image.usage_operation, "RunInstances:0010");
}

#[tokio::test(start_paused = true)]
async fn a_registered_image_is_pending_and_shows_after_its_delays() {
    let slow = world()
        .registration_delay(Duration::from_secs(10))
        .read_delay(Duration::from_secs(5))
        .tag_delay(Duration::from_secs(20));
    let bench = Bench::of(slow);
    let tag = [
        ("TagSpecification.1.ResourceType", "image"),
        ("TagSpecification.1.Tag.1.Key", "run"),
        ("TagSpecification.1.Tag.1.Value", "1"),
    ];
    let id = bench
        .register("late", &tag)
        .await
        .ok()
        .text("imageId")
        .expect("an image");
    let by_id = [("ImageId.1", id.as_str())];
    let by_tag = [("Filter.1.Name", "tag:run"), ("Filter.1.Value.1", "1")];
    assert_eq!(
        bench
            .consumer
            .ec2("DescribeImages", &by_id)
            .await
            .text("Code")
            .as_deref(),
        Some("InvalidAMIID.NotFound")
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let seen = bench.consumer.ec2("DescribeImages", &by_id).await.ok();
    assert_eq!(seen.text("imageState").as_deref(), Some("pending"));
    assert!(
        bench
            .consumer
            .ec2("DescribeImages", &by_tag)
            .await
            .ok()
            .text("imageId")
            .is_none()
    );
    tokio::time::sleep(Duration::from_secs(15)).await;
    let seen = bench.consumer.ec2("DescribeImages", &by_tag).await.ok();
    assert_eq!(seen.text("imageState").as_deref(), Some("available"));
}

#[tokio::test(start_paused = true)]
async fn deregister_image_deletes_snapshots_that_no_image_uses() {
    let bench = Bench::new();
    let first = bench
        .register("first", &[])
        .await
        .ok()
        .text("imageId")
        .expect("an image");
    let second = bench
        .register("second", &[])
        .await
        .ok()
        .text("imageId")
        .expect("an image");
    for (image, code, left) in [(&first, "skipped", 1), (&second, "success", 0)] {
        let params = [
            ("ImageId", image.as_str()),
            ("DeleteAssociatedSnapshots", "true"),
        ];
        let answer = bench.consumer.ec2("DeregisterImage", &params).await.ok();
        assert_eq!(
            answer.text("returnCode").as_deref(),
            Some(code),
            "{answer:?}"
        );
        assert_eq!(bench.sandbox.snapshots(CONSUMER, WEST).len(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_in_use_as_root_or_by_a_disabled_image() {
    let bench = Bench::new();
    let data = bench.copy().await;
    assert_eq!(bench.end_of(&data).await.0, "completed");
    let second = [
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.SnapshotId", data.as_str()),
    ];
    let image = bench.register("two volumes", &second).await.ok();
    let image = image.text("imageId").expect("an image");
    let delete = async |id: &str| {
        let params = [("SnapshotId", id)];
        bench.consumer.ec2("DeleteSnapshot", &params).await.code
    };
    let in_use = Some("InvalidSnapshot.InUse".to_owned());
    let named = [("ImageId", image.as_str())];
    bench.consumer.ec2("DisableImage", &named).await.ok();
    assert_eq!(delete(&data).await, in_use);
    bench.consumer.ec2("EnableImage", &named).await.ok();
    assert_eq!(delete(OWN).await, in_use);
    assert_eq!(delete(&data).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_snapshot_is_refused_for_registering() {
    let bench = Bench::new();
    let foreign = [("BlockDeviceMapping.1.Ebs.SnapshotId", ROOT)];
    let refused = bench.register("stolen", &foreign).await;
    assert_eq!(refused.refusal.as_deref(), Some("SNAPSHOT_NOT_OWNED"));
    let dry = bench.register("dry", &[("DryRun", "true")]).await;
    assert_eq!(dry.status, 412);
    assert_eq!(bench.sandbox.images(CONSUMER, WEST), []);
    assert_eq!(bench.sandbox.images(PRODUCER, WEST)[0].image_id, IMAGE);
}

#[tokio::test(start_paused = true)]
async fn tags_are_created_and_deleted() {
    let bench = Bench::new();
    let create = [
        ("ResourceId.1", OWN),
        ("Tag.1.Key", "a"),
        ("Tag.1.Value", "1"),
        ("Tag.2.Key", "b"),
        ("Tag.2.Value", "2"),
    ];
    bench.consumer.ec2("CreateTags", &create).await.ok();
    let other_value = [
        ("ResourceId.1", OWN),
        ("Tag.1.Key", "a"),
        ("Tag.1.Value", "other"),
        ("Tag.2.Key", "b"),
    ];
    bench.consumer.ec2("DeleteTags", &other_value).await.ok();
    let tags = bench.sandbox.snapshots(CONSUMER, WEST)[0].tags.clone();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), "1".to_owned())]
    );
    let foreign = [
        ("ResourceId.1", ROOT),
        ("Tag.1.Key", "a"),
        ("Tag.1.Value", "1"),
    ];
    assert_eq!(bench.consumer.ec2("CreateTags", &foreign).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_name_stays_taken_for_a_while_after_deregistering() {
    let bench = Bench::of(world().name_delay(Duration::from_secs(30)));
    let id = bench
        .register("once", &[])
        .await
        .ok()
        .text("imageId")
        .expect("an image");
    bench
        .consumer
        .ec2("DeregisterImage", &[("ImageId", &id)])
        .await
        .ok();
    assert_eq!(
        bench.register("once", &[]).await.refusal.as_deref(),
        Some("NAME_DUPLICATE")
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    bench.register("once", &[]).await.ok();
}

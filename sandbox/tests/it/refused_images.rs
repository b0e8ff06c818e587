//! Provoking the refusals of images.

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Facts, Image, Limits};

use crate::client::Answer;
use crate::refused_copies::numbered;
use crate::worlds::{
    Bench, CONSUMER, IMAGE, MANAGED, ORGANIZATION, OWN, PRODUCER, ROOT, WEST, world,
};

const GONE: &str = "ami-0000000000000dead";

pub async fn provoke(name: &str) -> Option<Answer> {
    first_of!(
        registering(name),
        copying(name),
        switching(name),
        finding(name),
        sharing(name),
    )
}

async fn finding(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let (producer, consumer) = (&bench.producer, &bench.consumer);
    let image = [("ImageId", IMAGE)];
    Some(match name {
        "IMAGE_MALFORMED" => {
            consumer
                .ec2("DescribeImages", &[("ImageId.1", "ami-?")])
                .await
        }
        "IMAGE_NOT_FOUND" => {
            consumer
                .ec2("DescribeImages", &[("ImageId.1", IMAGE)])
                .await
        }
        "IMAGE_NOT_OWNED" => consumer.ec2("DeregisterImage", &image).await,
        "IMAGE_UNAVAILABLE" => {
            producer.ec2("DeregisterImage", &image).await.ok();
            producer.ec2("DeregisterImage", &image).await
        }
        _ => return None,
    })
}

async fn sharing(name: &str) -> Option<Answer> {
    const ADD_ORGANIZATION: &str = "LaunchPermission.Add.1.OrganizationArn";
    let bench = Bench::new();
    let modify = |image: &'static str, name: &'static str, value: String| {
        let producer = &bench.producer;
        async move {
            let params = [("ImageId", image), (name, value.as_str())];
            producer.ec2("ModifyImageAttribute", &params).await
        }
    };
    Some(match name {
        "IMAGE_ATTRIBUTE_ITEM" => modify(IMAGE, ADD_ORGANIZATION, ORGANIZATION.to_owned()).await,
        "MANAGED_KEY_IMAGE_SHARED" => {
            let image = Image::new(WEST, GONE, "managed")
                .mapping(BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(MANAGED)));
            let added = bench.sandbox.edit(|aws| aws.add_image(PRODUCER, image));
            assert_eq!(added, Ok(()));
            modify(GONE, "LaunchPermission.Add.1.UserId", CONSUMER.to_owned()).await
        }
        "ENCRYPTED_IMAGE_PUBLIC" => {
            modify(IMAGE, "LaunchPermission.Add.1.Group", "all".to_owned()).await
        }
        "LAUNCH_PERMISSION_LIMIT" => {
            let ids = numbered("UserId", 1001);
            let mut params: Vec<_> = ids.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            params.extend([("ImageId", IMAGE), ("OperationType", "add")]);
            bench.producer.ec2("ModifyImageAttribute", &params).await
        }
        "DESCRIPTION_TOO_LONG" => modify(IMAGE, "Description.Value", "x".repeat(256)).await,
        _ => return None,
    })
}

async fn registering(name: &str) -> Option<Answer> {
    const SIZE: &str = "BlockDeviceMapping.1.Ebs.VolumeSize";
    const TYPE: &str = "BlockDeviceMapping.1.Ebs.VolumeType";
    let bench = Bench::new();
    let register = |more: &'static [(&'static str, &'static str)]| bench.register("image", more);
    Some(match name {
        "NAME_MALFORMED" => bench.register("a:b", &[]).await,
        "NAME_DUPLICATE" => {
            register(&[]).await.ok();
            register(&[]).await
        }
        "REGISTER_ENCRYPTED_WITH_SNAPSHOT" => {
            register(&[("BlockDeviceMapping.1.Ebs.Encrypted", "true")]).await
        }
        "REGISTER_KEY_WITH_SNAPSHOT" => {
            register(&[("BlockDeviceMapping.1.Ebs.KmsKeyId", "alias/amis")]).await
        }
        "REGISTER_OUTPOST_ARN" => register(&[("BlockDeviceMapping.1.Ebs.OutpostArn", "arn")]).await,
        "REGISTER_SNAPSHOT_STATE" => {
            let pending = bench.copy().await;
            bench
                .register(
                    "image",
                    &[("BlockDeviceMapping.1.Ebs.SnapshotId", &pending)],
                )
                .await
        }
        "REGISTER_NO_ROOT" => register(&[("RootDeviceName", "/dev/sda1")]).await,
        "REGISTER_DEVICE_TWICE" => {
            register(&[
                ("BlockDeviceMapping.2.DeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.2.VirtualName", "ephemeral0"),
            ])
            .await
        }
        "REGISTER_MAPPING_KIND" => {
            register(&[("BlockDeviceMapping.1.VirtualName", "ephemeral0")]).await
        }
        "REGISTER_VOLUME_TOO_SMALL" => register(&[(SIZE, "7")]).await,
        "REGISTER_VOLUME_FIGURES" => {
            register(&[
                (TYPE, "gp2"),
                ("BlockDeviceMapping.1.Ebs.Throughput", "250"),
            ])
            .await
        }
        "REGISTER_IOPS_MISSING" => register(&[(TYPE, "io2")]).await,
        "REGISTER_TPM_NEEDS_UEFI" => register(&[("TpmSupport", "v2.0")]).await,
        "REGISTER_NEEDS_HVM" => {
            register(&[("EnaSupport", "true"), ("VirtualizationType", "")]).await
        }
        _ => return None,
    })
}

const COPY: [(&str, &str); 3] = [
    ("SourceRegion", WEST),
    ("SourceImageId", IMAGE),
    ("Name", "copy"),
];

async fn copying(name: &str) -> Option<Answer> {
    let shared = |limits: Limits, change: fn(&mut Image)| {
        let bench = Bench::of(world().limits(limits));
        bench.sandbox.edit(|aws| {
            aws.change_image(IMAGE, |image| {
                let consumer = amiferry_sandbox::LaunchPermission::User(CONSUMER.to_owned());
                image.launch_permissions.insert(consumer);
                change(image);
            })
        });
        bench
    };
    let usual = |change: fn(&mut Image)| shared(Limits::default(), change);
    Some(match name {
        "IMAGE_NOT_AVAILABLE" => {
            let bench = usual(|image| "pending".clone_into(&mut image.state));
            bench
                .sandbox
                .edit(|aws| aws.change_image(IMAGE, |i| "disabled".clone_into(&mut i.state)));
            bench.consumer.ec2("CopyImage", &COPY).await
        }
        "COPY_IMAGE_MARKETPLACE" => {
            let bench = usual(|image| image.product_codes.push("abc".to_owned()));
            bench.consumer.ec2("CopyImage", &COPY).await
        }
        "COPY_IMAGE_BILLING" => {
            let bench = usual(|image| "RunInstances:0010".clone_into(&mut image.usage_operation));
            bench.sandbox.edit(|aws| {
                aws.set_facts(Facts {
                    billed_images_across_accounts: false,
                    ..Facts::default()
                });
            });
            bench.consumer.ec2("CopyImage", &COPY).await
        }
        "COPY_IMAGE_STORAGE" => {
            let bench = usual(|_| {});
            bench
                .sandbox
                .edit(|aws| aws.unshare_snapshot(ROOT, CONSUMER));
            bench.consumer.ec2("CopyImage", &COPY).await
        }
        "COPY_IMAGE_LIMIT" => {
            let one = Limits {
                concurrent_image_copies: 1,
                ..Limits::default()
            };
            let bench = shared(one, |_| {});
            bench.consumer.ec2("CopyImage", &COPY).await.ok();
            bench.consumer.ec2("CopyImage", &COPY).await
        }
        "CLIENT_TOKEN_REUSED" => {
            let bench = usual(|_| {});
            let mut params = COPY.to_vec();
            params.push(("ClientToken", "once"));
            bench.consumer.ec2("CopyImage", &params).await.ok();
            params[2].1 = "another";
            bench.consumer.ec2("CopyImage", &params).await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_leaves_nothing() {
    let bench = Bench::new();
    let more = [("BlockDeviceMapping.1.Ebs.Encrypted", "true")];
    assert_eq!(bench.register("image", &more).await.status, 400);
    assert_eq!(bench.sandbox.images(CONSUMER, WEST), []);
    assert_eq!(
        bench.sandbox.snapshots(CONSUMER, WEST).len(),
        1,
        "{OWN} only"
    );
}

async fn switching(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let switch = |operation: &'static str, more: &'static [(&'static str, &'static str)]| {
        let params = [&[("ImageId", IMAGE)], more].concat();
        let producer = &bench.producer;
        async move { producer.ec2(operation, &params).await }
    };
    Some(match name {
        "IMAGE_NOT_DISABLED" => {
            bench
                .sandbox
                .edit(|aws| aws.change_image(IMAGE, |image| "failed".clone_into(&mut image.state)));
            switch("EnableImage", &[]).await
        }
        "IMAGE_PROTECTED" => {
            switch("EnableImageDeregistrationProtection", &[])
                .await
                .ok();
            switch("DeregisterImage", &[]).await
        }
        "DEPRECATION_PAST" => {
            const PAST: [(&str, &str); 1] = [("DeprecateAt", "2006-08-24T00:00:00Z")];
            switch("EnableImageDeprecation", &PAST).await
        }
        _ => return None,
    })
}

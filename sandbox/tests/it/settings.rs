//! An account's settings of EC2 in a Region: Allowed AMIs, and the two blocks of public access.

use amiferry_sandbox::{Ec2Settings, World};

use crate::client::Answer;
use crate::launching::{launch, share};
use crate::worlds::{Bench, CONSUMER, EAST, IMAGE, PLAIN, PRODUCER, WEST, world};

const PUBLIC_IMAGE: [(&str, &str); 2] =
    [("ImageId", IMAGE), ("LaunchPermission.Add.1.Group", "all")];
const PUBLIC_SNAPSHOT: [(&str, &str); 2] = [
    ("SnapshotId", PLAIN),
    ("CreateVolumePermission.Add.1.Group", "all"),
];

fn set(bench: &Bench, account: &str, change: impl FnOnce(&mut Ec2Settings)) {
    let edit = |aws: &mut amiferry_sandbox::Aws| aws.change_ec2_settings(account, WEST, change);
    assert!(bench.sandbox.edit(edit));
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let producer = &bench.producer;
    Some(match name {
        "IMAGE_PUBLIC_BLOCKED" => {
            set(&bench, PRODUCER, |own| {
                "block-new-sharing".clone_into(&mut own.image_block_public_access);
            });
            producer.ec2("ModifyImageAttribute", &PUBLIC_IMAGE).await
        }
        "SNAPSHOT_PUBLIC_BLOCKED" => {
            set(&bench, PRODUCER, |own| {
                "block-new-sharing".clone_into(&mut own.snapshot_block_public_access);
            });
            let params = &PUBLIC_SNAPSHOT;
            producer.ec2("ModifySnapshotAttribute", params).await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn ec2_settings_are_read_by_region() {
    let settings = Ec2Settings::default()
        .allowing(&[PRODUCER, "amazon"])
        .with(|own| own.snapshot_block_public_access = "block-all-sharing".to_owned());
    let mut world = world();
    world.accounts[1] = world.accounts[1].clone().ec2_settings(WEST, settings);
    let bench = Bench::of(world);
    let (allowed, images, snapshots) = (
        "GetAllowedImagesSettings",
        "GetImageBlockPublicAccessState",
        "GetSnapshotBlockPublicAccessState",
    );
    let consumer = &bench.consumer;
    let answer = consumer.ec2(allowed, &[]).await.ok();
    assert_eq!(answer.text("state").as_deref(), Some("enabled"));
    assert_eq!(answer.text("managedBy").as_deref(), Some("account"));
    let criteria = format!(
        "<imageCriterionSet><item><imageProviderSet><item>{PRODUCER}</item><item>amazon</item>\
         </imageProviderSet></item></imageCriterionSet>"
    );
    assert!(answer.body.contains(&criteria), "{answer:?}");
    let answer = consumer.ec2(images, &[]).await.ok();
    let state = answer.text("imageBlockPublicAccessState");
    assert_eq!(state.as_deref(), Some("unblocked"));
    let answer = consumer.ec2(snapshots, &[]).await.ok();
    assert_eq!(answer.text("state").as_deref(), Some("block-all-sharing"));
    let east = consumer.in_region(EAST);
    let answer = east.ec2(allowed, &[]).await.ok();
    assert_eq!(answer.text("state").as_deref(), Some("disabled"));
    for operation in [allowed, images, snapshots] {
        let answer = bench.nobody.ec2(operation, &[]).await;
        assert_eq!(answer.code.as_deref(), Some("UnauthorizedOperation"));
        let dry = consumer.ec2(operation, &[("DryRun", "true")]).await;
        assert_eq!(dry.code.as_deref(), Some("DryRunOperation"));
        let answer = consumer.ec2(operation, &[("AccountId", CONSUMER)]).await;
        assert_eq!(answer.refusal.as_deref(), Some("UNKNOWN_PARAMETER"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_allowed_is_not_found() {
    let bench = Bench::new();
    share(&bench, "LaunchPermission.Add.1.UserId", CONSUMER).await;
    let consumer = &bench.consumer;
    let see = async || {
        consumer
            .ec2("DescribeImages", &[("ImageId.1", IMAGE)])
            .await
    };
    assert!(see().await.ok().text("imageAllowed").is_none());
    let own = bench.register("own", &[]).await.ok();
    let own = own.text("imageId").expect("an image");
    for (state, providers, seen) in [
        ("enabled", &["999999999999"][..], None),
        ("enabled", &["none"], None),
        ("enabled", &["999999999999", PRODUCER], Some("true")),
        ("audit-mode", &["amazon"], Some("false")),
        ("audit-mode", &[PRODUCER], Some("true")),
    ] {
        set(&bench, CONSUMER, |settings| {
            *settings = Ec2Settings::default().allowing(providers);
            state.clone_into(&mut settings.allowed_images);
        });
        let (shown, run) = (see().await, launch(consumer, IMAGE, &[]).await);
        if seen.is_none() {
            for answer in [shown, run] {
                assert_eq!(answer.refusal.as_deref(), Some("IMAGE_NOT_FOUND"));
            }
        } else {
            run.ok();
            assert_eq!(shown.ok().text("imageAllowed").as_deref(), seen);
        }
        let filter = [
            ("Filter.1.Name", "image-allowed"),
            ("Filter.1.Value.1", "true"),
        ];
        let allowed = consumer.ec2("DescribeImages", &filter).await.ok();
        assert!(allowed.texts("imageId").contains(&own), "{allowed:?}");
        assert_eq!(
            allowed.texts("imageId").iter().any(|id| id == IMAGE),
            seen == Some("true")
        );
        // Own images are always allowed, and every image is allowed to an account without settings.
        launch(consumer, &own, &[("InstanceType", "t2.micro")])
            .await
            .ok();
        launch(&bench.producer, IMAGE, &[]).await.ok();
    }
}

#[tokio::test(start_paused = true)]
async fn public_access_is_blocked_for_new_sharing_or_for_all() {
    let bench = Bench::new();
    let unshare = [
        ("SnapshotId", PLAIN),
        ("CreateVolumePermission.Remove.1.UserId", CONSUMER),
    ];
    let modify = "ModifySnapshotAttribute";
    bench.producer.ec2(modify, &unshare).await.ok();
    bench.producer.ec2(modify, &PUBLIC_SNAPSHOT).await.ok();
    for (state, seen) in [
        ("unblocked", true),
        ("block-new-sharing", true),
        ("block-all-sharing", false),
        ("block-new-sharing", true),
    ] {
        set(&bench, PRODUCER, |own| {
            state.clone_into(&mut own.snapshot_block_public_access);
        });
        let params = [("SnapshotId.1", PLAIN)];
        let answer = bench.consumer.ec2("DescribeSnapshots", &params).await;
        assert_eq!(answer.status == 200, seen, "{state}: {answer:?}");
        let again = bench.producer.ec2(modify, &PUBLIC_SNAPSHOT).await;
        assert_eq!(again.status == 200, state == "unblocked", "{state}");
    }
    // The block does not apply to sharing with accounts.
    let account = [
        ("SnapshotId", PLAIN),
        ("CreateVolumePermission.Add.1.UserId", CONSUMER),
    ];
    bench.producer.ec2(modify, &account).await.ok();
}

#[test]
fn a_world_file_declares_ec2_settings_by_region() {
    let text = |settings: &str| {
        format!("[[account]]\nid = \"{PRODUCER}\"\n[account.ec2_settings.us-west-2]\n{settings}")
    };
    let good = text("allowed_images = \"audit-mode\"\nimage_providers = [[\"amazon\"]]");
    let world = World::from_toml(&good).expect("a world");
    let settings = &world.accounts[0].ec2_settings[WEST];
    assert_eq!(settings.image_providers, [["amazon"]]);
    for (bad, key) in [
        ("allowed_images = \"perhaps\"", "allowed_images"),
        (
            "image_block_public_access = \"block-all-sharing\"",
            "image_block_public_access",
        ),
        (
            "snapshot_block_public_access = \"no\"",
            "snapshot_block_public_access",
        ),
        ("colour = 1", "colour"),
    ] {
        let error = World::from_toml(&text(bad)).expect_err(bad);
        assert_eq!(
            error.key,
            format!("account[0].ec2_settings.us-west-2.{key}")
        );
    }
}

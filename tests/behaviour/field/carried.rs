//! Every property of an image is either carried over or listed as lost.

use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Image, Sandbox, World};
use serde_json::{Value, json};

use crate::preflight::{found, look, looked_into};
use crate::support::*;

const TARGET: Place = ("222222222222", HOME);

async fn copied(source: Account) -> (Image, Value, Value) {
    let world = World::new().copy_mib_per_second(4096.0);
    let sandbox = Sandbox::new(world.account(source).account(looked_into(TARGET.0)));
    let looked = look(&sandbox, &request(&[TARGET])).await;
    let reply = to_the_end(&sandbox, &distribute(&[TARGET])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let image = sandbox.images(TARGET.0, HOME).remove(0);
    (image, target(&reply, TARGET).clone(), looked)
}

fn with_image(change: impl FnOnce(&mut Image)) -> Account {
    let mut source = producer();
    change(&mut source.images[0]);
    source
}

#[tokio::test(start_paused = true)]
async fn tags_beyond_the_limit_are_listed_as_lost_and_the_name_is_kept() {
    let source = with_image(|image| {
        image.tags = (0..49)
            .map(|n| (format!("A{n:02}"), "x".to_owned()))
            .collect();
        image.tags.insert("Name".to_owned(), "golden".to_owned());
    });
    let (image, result, looked) = copied(source).await;
    assert_eq!(image.tags.len(), 50);
    assert_eq!(image.tags["Name"], "golden");
    // The function has four tags, and the request one.
    let lost = ["A44", "A45", "A46", "A47", "A48"];
    for tag in lost {
        assert!(!image.tags.contains_key(tag), "{tag}");
    }
    let note = result["Notes"][0].as_str().unwrap_or_default().to_owned();
    assert!(note.contains("5 tags of") && note.contains(AMI), "{result}");
    for tag in lost {
        assert!(note.contains(tag), "{tag}: {note}");
    }
    let warned = found(&looked, "NotCarried").unwrap_or_else(|| panic!("{looked}"));
    assert_eq!(warned["Level"], "Warning");
    assert_eq!(warned["Reason"], json!(note));
    assert!(
        warned["Remedy"]
            .as_str()
            .is_some_and(|r| r.contains("Tags"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_tags_fit_has_no_losses() {
    let (_, result, looked) = copied(producer()).await;
    assert_eq!(result.get("Notes"), None, "{result}");
    assert_eq!(found(&looked, "NotCarried"), None, "{looked}");
}

#[tokio::test(start_paused = true)]
async fn baseline_iops_are_left_out_for_volume_types_that_take_none() {
    let typed = |kind: &str, iops: Option<u32>| Ebs {
        volume_type: Some(kind.to_owned()),
        volume_size: Some(100),
        iops,
        delete_on_termination: Some(true),
        ..Ebs::snapshot(ROOT)
    };
    for (kind, iops, kept) in [
        ("gp2", Some(300), None),
        ("io1", Some(500), Some(500)),
        ("io2", Some(500), Some(500)),
        ("st1", None, None),
    ] {
        let source = with_image(|image| {
            image.block_device_mappings =
                vec![BlockDeviceMapping::ebs("/dev/xvda", typed(kind, iops))];
            if kind == "st1" {
                image.block_device_mappings[0] =
                    BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(ROOT).gp3(8, 3000, 125));
                let data = Ebs {
                    snapshot_id: Some(DATA.to_owned()),
                    ..typed(kind, None)
                };
                image
                    .block_device_mappings
                    .push(BlockDeviceMapping::ebs("/dev/sdb", data));
            }
        });
        let (image, _, _) = copied(source).await;
        let ebs = image
            .block_device_mappings
            .last()
            .unwrap()
            .ebs
            .clone()
            .unwrap();
        assert_eq!(ebs.volume_type.as_deref(), Some(kind));
        assert_eq!(ebs.iops, kept, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn uefi_data_of_an_arm_image_without_a_boot_mode_is_carried_over() {
    let source = with_image(|image| {
        image.architecture = "arm64".to_owned();
        image.ena_support = true;
        image.boot_mode = None;
        image.tpm_support = None;
    });
    let (image, _, _) = copied(source).await;
    assert_eq!(image.uefi_data.as_deref(), Some("QU1aTlVFRkk="));
}

#[tokio::test(start_paused = true)]
async fn a_deprecation_date_is_listed_as_lost() {
    let date = "2027-12-31T00:00:00.000Z";
    let (_, result, looked) = copied(with_image(|image| {
        image.deprecation_time = Some(date.to_owned());
    }))
    .await;
    let note = result["Notes"][0].as_str().unwrap_or_default();
    assert!(
        note.contains("DeprecationTime") && note.contains(date),
        "{result}"
    );
    let warned = found(&looked, "NotCarried").unwrap_or_else(|| panic!("{looked}"));
    assert!(
        warned["Remedy"]
            .as_str()
            .is_some_and(|r| r.contains("EnableImageDeprecation")),
        "{warned}"
    );
}

//! Two source images that stand on one snapshot: their copies share a copy of it, and whichever
//! resource is deleted last takes it away.

use amiferry_sandbox::{BlockDeviceMapping, Ebs, Image, World};
use serde_json::{Value, json};

use crate::custom_resource::{Stack, with};
use crate::support::*;

const OTHER_AMI: &str = "ami-0a1b2c3d4e5f60719";
const PLACE: Place = TWO[0];

/// The second image has only the first's root snapshot.
fn sharing_world() -> World {
    let root = Ebs::snapshot(ROOT).gp3(8, 3000, 125);
    let other = Image::new(HOME, OTHER_AMI, "lean")
        .mapping(BlockDeviceMapping::ebs("/dev/xvda", root))
        .with(|image| image.root_device_name = Some("/dev/xvda".to_owned()));
    world_with(producer().image(other), &[PLACE])
}

fn properties(image: &str) -> Value {
    let wish = with(request(&[PLACE]), "OnDelete", json!("Deregister"));
    with(wish, "SourceImageId", json!(image))
}

async fn send(stack: &Stack, kind: &str, image: &str, id: Option<&Value>) -> Value {
    let mut event = stack.event(kind, &properties(image));
    event["LogicalResourceId"] = json!(format!("Resource{}", &image[4..]));
    if let Some(id) = id {
        event["PhysicalResourceId"] = id.clone();
    }
    let answer = stack.send(&event).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    answer["PhysicalResourceId"].clone()
}

fn ids(stack: &Stack) -> (Vec<String>, Vec<String>) {
    let images = stack.sandbox.images(PLACE.0, PLACE.1).into_iter();
    let snapshots = stack.sandbox.snapshots(PLACE.0, PLACE.1).into_iter();
    (
        images.map(|image| image.image_id).collect(),
        snapshots.map(|snapshot| snapshot.snapshot_id).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_copy_shared_by_two_images_is_deleted_with_the_last_resource() {
    for created in [[AMI, OTHER_AMI], [OTHER_AMI, AMI]] {
        for last in [AMI, OTHER_AMI] {
            let stack = Stack::of(sharing_world());
            let mut resources = Vec::new();
            for image in created {
                resources.push((image, send(&stack, "Create", image, None).await));
            }
            let (images, snapshots) = ids(&stack);
            assert_eq!(
                (images.len(), snapshots.len()),
                (2, 2),
                "one copy is shared"
            );
            resources.sort_by_key(|(image, _)| *image == last);
            let (first, id) = &resources[0];
            send(&stack, "Delete", first, Some(id)).await;
            let (images, snapshots) = ids(&stack);
            let case = format!("created {created:?}, deleted last {last}");
            assert_eq!(images.len(), 1, "{case}");
            let image = stack.sandbox.edit(|aws| aws.image(&images[0]));
            let image = image.expect("the other's");
            assert_eq!(image.tags["amiferry:source-image"], last, "{case}");
            let used = image.block_device_mappings.iter();
            let used = used.filter_map(|mapping| mapping.ebs.as_ref()?.snapshot_id.clone());
            for id in used {
                assert!(snapshots.contains(&id), "{case}: {id} is gone");
            }
            let (_, id) = &resources[1];
            send(&stack, "Delete", last, Some(id)).await;
            assert_nothing(&stack.sandbox, &[PLACE]);
            assert_closed(&stack.sandbox);
        }
    }
}

//! Snapshots and images.

use std::time::SystemTime;

use super::keys::{find_key, managed_key};
use super::{fault, known_region, possible};
use crate::aws::{Aws, LiveImage, LiveSnapshot, Shown};
use crate::model::{Image, Snapshot};
use crate::rules::ids;
use crate::world::WorldError;

pub(in crate::aws) fn add_snapshot(
    aws: &mut Aws,
    account: &str,
    mut snapshot: Snapshot,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &snapshot.region, at)?;
    resource_id("snap", &snapshot.snapshot_id, at)?;
    account.clone_into(&mut snapshot.owner_id);
    if let Some(key) = &snapshot.kms_key_arn {
        let arn = find_key(aws, account, &snapshot.region, key, &format!("{at}.key"))?;
        snapshot.kms_key_arn = Some(arn);
        snapshot.encrypted = true;
    } else if snapshot.encrypted {
        snapshot.kms_key_arn = Some(managed_key(aws, account, &snapshot.region));
    }
    possible::snapshot(aws, &snapshot, at)?;
    let volume = &snapshot.volume_id;
    snapshot
        .encryption_context_id
        .get_or_insert_with(|| volume.clone());
    if snapshot.start_time == SystemTime::UNIX_EPOCH {
        snapshot.start_time = aws.now;
        snapshot.completion_time = (snapshot.state == "completed").then_some(aws.now);
    }
    let live = LiveSnapshot {
        permitted_at: std::collections::BTreeMap::new(),
        shown: Shown::default(),
        view: snapshot,
    };
    let id = live.view.snapshot_id.clone();
    if aws.snapshots.insert(id.clone(), live).is_some() {
        return fault(at, "id", format!("{id} is declared twice"));
    }
    Ok(())
}

pub(in crate::aws) fn add_image(
    aws: &mut Aws,
    account: &str,
    mut image: Image,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &image.region, at)?;
    resource_id("ami", &image.image_id, at)?;
    account.clone_into(&mut image.owner_id);
    if image.creation_date == SystemTime::UNIX_EPOCH {
        image.creation_date = aws.now;
    }
    for (i, mapping) in image.block_device_mappings.iter_mut().enumerate() {
        let Some(ebs) = &mut mapping.ebs else {
            continue;
        };
        let Some(id) = &ebs.snapshot_id else { continue };
        // An image may outlive its snapshot. A snapshot that exists determines encryption and size.
        if let Some(snapshot) = aws.snapshots.get(id).map(|s| &s.view) {
            if snapshot.region != image.region {
                let key = format!("{at}.mapping[{i}].ebs.snapshot_id");
                return Err(WorldError::new(
                    key,
                    format!("{id} is in {}", snapshot.region),
                ));
            }
            ebs.encrypted = snapshot.encrypted;
            ebs.volume_size.get_or_insert(snapshot.volume_size);
        }
    }
    possible::image(aws, &image, at)?;
    let live = LiveImage {
        shown: Shown::default(),
        launchable_at: aws.now,
        available_at: aws.now,
        protected_until: aws.now,
        waits_for: Vec::new(),
        view: image,
    };
    let id = live.view.image_id.clone();
    if aws.put_image(live).is_some() {
        return fault(at, "id", format!("{id} is declared twice"));
    }
    Ok(())
}

fn resource_id(prefix: &str, id: &str, at: &str) -> Result<(), WorldError> {
    if ids::is_id(prefix, id) {
        return Ok(());
    }
    fault(
        at,
        "id",
        format!("{id:?} is not {prefix}- and 8 or 17 hexadecimal digits"),
    )
}

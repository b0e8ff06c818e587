//! CreateSnapshot: a snapshot of a volume, under the volume's key, `pending` for a while.
//!
//! Source: model; aws-facts, KMS (`aws:ebs:id` is the volume's ID). The sandbox's volumes are
//! empty, so their snapshots hold no data.

use std::collections::BTreeMap;

use super::permit::{self, Facts};
use super::{Ask, tags, volumes};
use crate::aws::{Aws, LiveSnapshot, Read};
use crate::model::{Snapshot, Volume};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

type Tags = BTreeMap<String, String>;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let volume_id = ask.query.required("VolumeId")?;
    ids::volume(volume_id)?;
    let description = ask.query.get("Description").unwrap_or_default();
    let mut tags = tags::specified(ask.query, &["snapshot"])?;
    let tags = tags.remove("snapshot").unwrap_or_default();
    let volume = volumes::own(aws, ask, volume_id).cloned();
    permit_snapshot(aws, ask, volume_id, volume.as_ref(), &tags)?;
    ask.dry_run()?;
    let volume = volume.ok_or_else(|| refusals::VOLUME_NOT_FOUND.with(&[volume_id]))?;
    if volume.state != "available" {
        return Err(refusals::VOLUME_NOT_AVAILABLE.with(&[volume_id, &volume.state]));
    }
    let id = aws.new_resource_id("snap");
    let view = view(aws, &volume, &id, description, tags);
    let mut xml = Xml::new();
    write(&mut xml, &view);
    let live = LiveSnapshot {
        permitted_at: BTreeMap::new(),
        shown: aws.shown_when_created(Read::Snapshots),
        view,
    };
    let due = aws.now + aws.rules.scaled(aws.rules.copy_start);
    aws.snapshots_due.insert(id.clone(), due);
    aws.snapshots.insert(id, live);
    Ok(xml.finish())
}

/// Checks the permissions on the volume and on the new snapshot.
fn permit_snapshot(
    aws: &Aws,
    ask: Ask<'_>,
    volume_id: &str,
    volume: Option<&Volume>,
    tags: &Tags,
) -> Result<(), Refused> {
    let arn = permit::volume_arn(ask, volume_id);
    permit::action(aws, ask, &arn, &volumes::facts(volume))?;
    let new = permit::snapshot_arn(ask.region(), "*");
    let facts = Facts {
        request_tags: Some(tags),
        keys: vec![("ec2:parentvolume", vec![arn])],
        ..Facts::default()
    };
    permit::action(aws, ask, &new, &facts)?;
    permit::tagging(aws, ask, &new, tags)
}

fn view(aws: &Aws, volume: &Volume, id: &str, description: &str, tags: Tags) -> Snapshot {
    Snapshot {
        owner_id: volume.owner_id.clone(),
        volume_id: volume.volume_id.clone(),
        description: description.to_owned(),
        state: "pending".to_owned(),
        progress: String::new(),
        start_time: aws.now,
        encrypted: volume.encrypted,
        kms_key_arn: volume.kms_key_arn.clone(),
        tags,
        stored_mib: Some(0),
        encryption_context_id: Some(volume.volume_id.clone()),
        ..Snapshot::new(&volume.region, id, volume.size)
    }
}

fn write(xml: &mut Xml, snapshot: &Snapshot) {
    xml.text("snapshotId", &snapshot.snapshot_id)
        .text("volumeId", &snapshot.volume_id)
        .text("status", &snapshot.state)
        .text("startTime", time::iso(snapshot.start_time))
        .text("progress", &snapshot.progress)
        .text("ownerId", &snapshot.owner_id)
        .number("volumeSize", snapshot.volume_size)
        .text("description", &snapshot.description)
        .flag("encrypted", snapshot.encrypted);
    tags::write(xml, &snapshot.tags);
}

//! `BlockDeviceMapping.N` of RegisterImage.
//!
//! Source: aws-facts, EC2 registering; model, EbsBlockDevice.

use std::collections::BTreeSet;

use super::{Ask, visibility};
use crate::aws::Aws;
use crate::model::{BlockDeviceMapping, Ebs, Snapshot};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::rules::images::VOLUME_TYPES;
use crate::wire::query::Query;

/// Reads the mappings and checks their shapes; [`resolve`] checks the snapshots.
pub(super) fn read(query: &Query) -> Result<Vec<BlockDeviceMapping>, Refused> {
    let mut devices = BTreeSet::new();
    let mut mappings = Vec::new();
    for item in query.structures("BlockDeviceMapping") {
        let mapping = one(&item)?;
        if !devices.insert(mapping.device_name.clone()) {
            return Err(refusals::REGISTER_DEVICE_TWICE.with(&[&mapping.device_name]));
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn one(item: &Query) -> Result<BlockDeviceMapping, Refused> {
    let device_name = item.required("DeviceName")?.to_owned();
    let ebs = item
        .structure("Ebs")
        .map(|ebs| read_ebs(&ebs))
        .transpose()?;
    let virtual_name = item.owned("VirtualName");
    let no_device = item.get("NoDevice").is_some();
    let kinds = [ebs.is_some(), virtual_name.is_some(), no_device];
    if kinds.iter().filter(|given| **given).count() != 1 {
        return Err(refusals::REGISTER_MAPPING_KIND.with(&[&device_name]));
    }
    Ok(BlockDeviceMapping {
        device_name,
        virtual_name,
        no_device,
        ebs,
    })
}

fn read_ebs(ebs: &Query) -> Result<Ebs, Refused> {
    let snapshot_id = ebs.owned("SnapshotId").filter(|id| !id.is_empty());
    snapshot_id.as_deref().map_or(Ok(()), ids::snapshot)?;
    if snapshot_id.is_some() && ebs.get("Encrypted").is_some() {
        return Err(refusals::REGISTER_ENCRYPTED_WITH_SNAPSHOT.with(&[]));
    }
    if ebs.get("KmsKeyId").is_some() {
        return Err(refusals::REGISTER_KEY_WITH_SNAPSHOT.with(&[]));
    }
    if ebs.get("OutpostArn").is_some() {
        return Err(refusals::REGISTER_OUTPOST_ARN.with(&[]));
    }
    let volume_type = ebs.get("VolumeType").unwrap_or("standard");
    if !VOLUME_TYPES.contains(&volume_type) {
        return Err(ebs.bad("VolumeType", volume_type));
    }
    let (iops, throughput) = (ebs.number("Iops")?, ebs.number("Throughput")?);
    if iops.is_some() && !matches!(volume_type, "io1" | "io2" | "gp3") {
        return Err(refusals::REGISTER_VOLUME_FIGURES.with(&["iops", volume_type]));
    }
    if throughput.is_some() && volume_type != "gp3" {
        return Err(refusals::REGISTER_VOLUME_FIGURES.with(&["throughput", volume_type]));
    }
    if iops.is_none() && matches!(volume_type, "io1" | "io2") {
        return Err(refusals::REGISTER_IOPS_MISSING.with(&[volume_type]));
    }
    let volume_size = ebs.number("VolumeSize")?;
    if snapshot_id.is_none() && volume_size.is_none() {
        return Err(refusals::MISSING_PARAMETER.with(&["BlockDeviceMapping.Ebs.VolumeSize"]));
    }
    Ok(Ebs {
        snapshot_id,
        volume_size,
        volume_type: Some(volume_type.to_owned()),
        iops,
        throughput,
        // RegisterImage does not keep the source's value: a copy must carry it over.
        delete_on_termination: Some(ebs.flag("DeleteOnTermination")?.unwrap_or(false)),
        encrypted: ebs.flag("Encrypted")?.unwrap_or(false),
    })
}

/// Fills in the values of the snapshots. Each snapshot must be the caller's own, in this Region,
/// and completed.
pub(super) fn resolve(
    aws: &Aws,
    ask: Ask<'_>,
    mappings: &mut [BlockDeviceMapping],
) -> Result<(), Refused> {
    for ebs in mappings
        .iter_mut()
        .filter_map(|mapping| mapping.ebs.as_mut())
    {
        let Some(id) = &ebs.snapshot_id else { continue };
        let snapshot = own_completed(aws, ask, id)?;
        let size = ebs.volume_size.unwrap_or(snapshot.volume_size);
        if size < snapshot.volume_size {
            let (given, least) = (size.to_string(), snapshot.volume_size.to_string());
            return Err(refusals::REGISTER_VOLUME_TOO_SMALL.with(&[&given, id, &least]));
        }
        ebs.volume_size = Some(size);
        ebs.encrypted = snapshot.encrypted;
    }
    Ok(())
}

fn own_completed<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Result<&'a Snapshot, Refused> {
    let found = aws.snapshots.get(id).map(|snapshot| &snapshot.view);
    let visible = found.filter(|snapshot| {
        snapshot.region == ask.region() && visibility::may_restore(aws, snapshot, ask.account())
    });
    let snapshot = visible.ok_or_else(|| refusals::SNAPSHOT_NOT_FOUND.with(&[id]))?;
    if snapshot.owner_id != ask.account() {
        return Err(refusals::SNAPSHOT_NOT_OWNED.with(&[id]));
    }
    if snapshot.state != "completed" {
        return Err(refusals::REGISTER_SNAPSHOT_STATE.with(&[id, &snapshot.state]));
    }
    Ok(snapshot)
}

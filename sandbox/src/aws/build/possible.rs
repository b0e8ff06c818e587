//! Refuses resources that AWS never has, with the key at fault.
//!
//! Odd images that AWS does have are accepted: a root device without a mapping, an `Iops` on a gp2
//! volume, mappings of deleted snapshots.

use std::collections::{BTreeMap, BTreeSet};

use super::fault;
use crate::aws::Aws;
use crate::model::{Image, LaunchPermission, Snapshot};
use crate::rules::images::{ARCHITECTURES, BOOT_MODES, VOLUME_TYPES, check_name, consistent};
use crate::rules::{ids, tags};
use crate::wire::time;
use crate::world::WorldError;

const IMAGE_STATES: &[&str] = &[
    "pending",
    "available",
    "invalid",
    "deregistered",
    "transient",
    "failed",
    "error",
    "disabled",
];
const SNAPSHOT_STATES: &[&str] = &["pending", "completed", "error", "recoverable", "recovering"];
/// The largest volume in GiB (EBS guide, io2 Block Express).
const LARGEST_VOLUME: u32 = 65_536;

pub(super) fn snapshot(aws: &Aws, snapshot: &Snapshot, at: &str) -> Result<(), WorldError> {
    one_of(&snapshot.state, SNAPSHOT_STATES, at, "state")?;
    one_of(
        &snapshot.storage_tier,
        &["standard", "archive"],
        at,
        "storage_tier",
    )?;
    let size = snapshot.volume_size;
    if !(1..=LARGEST_VOLUME).contains(&size) {
        return fault(
            at,
            "size",
            format!("a volume has 1 to {LARGEST_VOLUME} GiB, not {size}"),
        );
    }
    if let Some(stored) = snapshot
        .stored_mib
        .filter(|mib| *mib > u64::from(size) * 1024)
    {
        return fault(
            at,
            "stored_mib",
            format!("{stored} MiB do not fit a volume of {size} GiB"),
        );
    }
    if snapshot
        .copies_fail_at
        .as_ref()
        .is_some_and(|(percent, _)| *percent > 100)
    {
        return fault(at, "copies_fail_at", "a copy is never further than 100 %");
    }
    let permitted = &snapshot.create_volume_permissions;
    if let Some(other) = permitted.iter().find(|id| !is_account(id)) {
        return fault(
            at,
            "create_volume_permissions",
            format!("{other:?} is not twelve digits"),
        );
    }
    if snapshot.encrypted && snapshot.public {
        return fault(at, "public", "an encrypted snapshot is never public");
    }
    let key = snapshot
        .kms_key_arn
        .as_ref()
        .and_then(|arn| aws.keys.get(arn));
    if key.is_some_and(|key| !key.is_symmetric()) {
        return fault(at, "key", "EBS encrypts with symmetric keys only");
    }
    if key.is_some_and(|key| key.managed) && !permitted.is_empty() {
        let why = "a snapshot under aws/ebs cannot be shared";
        return fault(at, "create_volume_permissions", why);
    }
    check_tags(&snapshot.tags, at)
}

pub(super) fn image(aws: &Aws, image: &Image, at: &str) -> Result<(), WorldError> {
    one_of(&image.state, IMAGE_STATES, at, "state")?;
    one_of(&image.architecture, ARCHITECTURES, at, "architecture")?;
    one_of(
        &image.virtualization_type,
        &["hvm", "paravirtual"],
        at,
        "virtualization_type",
    )?;
    one_of(
        &image.root_device_type,
        &["ebs", "instance-store"],
        at,
        "root_device_type",
    )?;
    for (key, value, known) in [
        ("boot_mode", &image.boot_mode, BOOT_MODES),
        ("tpm_support", &image.tpm_support, &["v2.0"]),
        ("imds_support", &image.imds_support, &["v2.0"]),
        ("sriov_net_support", &image.sriov_net_support, &["simple"]),
        (
            "deregistration_protection",
            &image.deregistration_protection,
            &["enabled-without-cooldown", "enabled-with-cooldown"],
        ),
    ] {
        value
            .as_deref()
            .map_or(Ok(()), |value| one_of(value, known, at, key))?;
    }
    deprecation_time(image, at)?;
    name(aws, image, at)?;
    if let Err(refused) = consistent(image) {
        return fault(at, "virtualization_type", refused.message);
    }
    launch_permissions(image, at)?;
    mappings(aws, image, at)?;
    check_tags(&image.tags, at)
}

fn deprecation_time(image: &Image, at: &str) -> Result<(), WorldError> {
    let deprecation = image.deprecation_time.as_deref();
    if let Some(text) = deprecation.filter(|text| time::parse_iso(text).is_none()) {
        return fault(
            at,
            "deprecation_time",
            format!("{text:?} is not 2027-01-31T12:00:00.000Z"),
        );
    }
    Ok(())
}

fn name(aws: &Aws, image: &Image, at: &str) -> Result<(), WorldError> {
    if check_name(&image.name).is_err() {
        let why = format!(
            "{:?} is not 3 to 128 of A-Z a-z 0-9 ()[] ./-'@_",
            image.name
        );
        return fault(at, "name", why);
    }
    let mut others = aws.images.values().map(|other| &other.view);
    if let Some(other) = others.find(|other| {
        (&other.owner_id, &other.region, &other.name)
            == (&image.owner_id, &image.region, &image.name)
    }) {
        let why = format!(
            "{} has this name in the same account and Region",
            other.image_id
        );
        return fault(at, "name", why);
    }
    Ok(())
}

fn launch_permissions(image: &Image, at: &str) -> Result<(), WorldError> {
    let shared = image.public || !image.launch_permissions.is_empty();
    if image.state == "disabled" && shared {
        return fault(
            at,
            "launch_permissions",
            "a disabled image cannot be shared",
        );
    }
    for permission in &image.launch_permissions {
        if let LaunchPermission::User(id) = permission
            && !is_account(id)
        {
            return fault(
                at,
                "launch_permissions",
                format!("{id:?} is not twelve digits"),
            );
        }
    }
    Ok(())
}

fn mappings(aws: &Aws, image: &Image, at: &str) -> Result<(), WorldError> {
    let mut devices = BTreeSet::new();
    for (i, mapping) in image.block_device_mappings.iter().enumerate() {
        let at = format!("{at}.mapping[{i}]");
        let device = &mapping.device_name;
        if !devices.insert(device) {
            return fault(&at, "device_name", format!("{device} is mapped twice"));
        }
        let kinds = [
            mapping.ebs.is_some(),
            mapping.virtual_name.is_some(),
            mapping.no_device,
        ];
        if kinds.iter().filter(|given| **given).count() != 1 {
            let why = "a mapping has exactly one of ebs, virtual_name and no_device";
            return fault(&at, "ebs", why);
        }
        let Some(ebs) = &mapping.ebs else { continue };
        if let Some(kind) = &ebs.volume_type {
            one_of(kind, VOLUME_TYPES, &at, "ebs.volume_type")?;
        }
        let id = ebs.snapshot_id.as_ref();
        let Some(snapshot) = id
            .and_then(|id| aws.snapshots.get(id))
            .map(|live| &live.view)
        else {
            continue;
        };
        if image.public && snapshot.encrypted {
            let why = format!(
                "{} is encrypted: the image is never public",
                snapshot.snapshot_id
            );
            return fault(&at, "ebs.snapshot_id", why);
        }
        if ebs
            .volume_size
            .is_some_and(|size| size < snapshot.volume_size)
        {
            let (id, least) = (&snapshot.snapshot_id, snapshot.volume_size);
            return fault(
                &at,
                "ebs.volume_size",
                format!("{id} needs at least {least} GiB"),
            );
        }
    }
    Ok(())
}

fn check_tags(given: &BTreeMap<String, String>, at: &str) -> Result<(), WorldError> {
    match tags::check(given) {
        Ok(()) => Ok(()),
        Err(refused) => fault(at, "tags", refused.message),
    }
}

fn is_account(id: &str) -> bool {
    ids::account(id).is_ok()
}

fn one_of(value: &str, known: &[&str], at: &str, key: &str) -> Result<(), WorldError> {
    if known.contains(&value) {
        return Ok(());
    }
    fault(
        at,
        key,
        format!("{value:?} is not one of {}", known.join(", ")),
    )
}

//! RegisterImage: registers an AMI from completed snapshots, with AWS's own defaults for everything
//! the request leaves out.
//!
//! Source: aws-facts, EC2 registering; model.

use std::collections::BTreeMap;

use super::permit::{self, Facts};
use super::{Ask, image_attributes, mapping, tags};
use crate::aws::{Aws, LiveImage, Read};
use crate::model::{BlockDeviceMapping, Image};
use crate::refusals::{self, Refused};
use crate::rules::images::{ARCHITECTURES, BOOT_MODES, check_name, consistent};
use crate::wire::query::Query;
use crate::wire::xml::Xml;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let name = ask.query.required("Name")?;
    check_name(name)?;
    let mut mappings = mapping::read(ask.query)?;
    let mut image = read(ask)?;
    let mut tags = tags::specified(ask.query, &["image"])?;
    image.tags = tags.remove("image").unwrap_or_default();
    permit_registration(aws, ask, &mappings, &image.tags)?;
    ask.dry_run()?;
    if let Some(other) = taken(aws, ask, name) {
        return Err(refusals::NAME_DUPLICATE.with(&[name, &other]));
    }
    mapping::resolve(aws, ask, &mut mappings)?;
    image.block_device_mappings = mappings;
    let name = image.root_device_name.as_deref().unwrap_or_default();
    let root = image.root_snapshot_id();
    let root = root.ok_or_else(|| refusals::REGISTER_NO_ROOT.with(&[name]))?;
    if let Some(root) = aws.snapshots.get(root).map(|snapshot| &snapshot.view) {
        // Billing follows the data, not the request.
        image.product_codes.clone_from(&root.product_codes);
        let copied = root.source_snapshot_id.is_some();
        let kept = !copied || aws.rules.facts.copies_keep_billing;
        let lineage = root.lineage_platform.as_ref().filter(|_| kept);
        if let Some((details, operation)) = lineage {
            image.platform_details.clone_from(details);
            image.usage_operation.clone_from(operation);
        }
    }
    let id = add(aws, image);
    let mut xml = Xml::new();
    xml.text("imageId", &id);
    Ok(xml.finish())
}

/// Returns the image that has this name in the account and Region, or had it until a moment ago.
fn taken(aws: &Aws, ask: Ask<'_>, name: &str) -> Option<String> {
    let mut images = aws.images.of(Some(ask.account())).map(|image| &image.view);
    let holder = images.find(|known| {
        known.name == name && known.owner_id == ask.account() && known.region == ask.region()
    });
    let key = (
        ask.account().to_owned(),
        ask.region().to_owned(),
        name.to_owned(),
    );
    let late = aws
        .released_names
        .get(&key)
        .filter(|(_, free_at)| *free_at > aws.now);
    holder
        .map(|image| &image.image_id)
        .or(late.map(|(id, _)| id))
        .cloned()
}

fn permit_registration(
    aws: &Aws,
    ask: Ask<'_>,
    mappings: &[BlockDeviceMapping],
    tags: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let new = permit::image_arn(ask.region(), "*");
    let facts = Facts {
        request_tags: Some(tags),
        ..Facts::default()
    };
    permit::action(aws, ask, &new, &facts)?;
    let ebs = mappings.iter().filter_map(|mapping| mapping.ebs.as_ref());
    for id in ebs.filter_map(|ebs| ebs.snapshot_id.as_ref()) {
        let snapshot = aws.snapshots.get(id).map(|snapshot| &snapshot.view);
        let facts = Facts {
            resource_tags: snapshot.map(|snapshot| &snapshot.tags),
            owner: snapshot.map(|snapshot| snapshot.owner_id.as_str()),
            ..Facts::default()
        };
        permit::action(aws, ask, &permit::snapshot_arn(ask.region(), id), &facts)?;
    }
    permit::tagging(aws, ask, &new, tags)
}

fn add(aws: &mut Aws, mut image: Image) -> String {
    let id = aws.new_resource_id("ami");
    image.image_id.clone_from(&id);
    image.creation_date = aws.now;
    let waits = aws.rules.scaled(aws.rules.registration_delay);
    if waits.is_zero() {
        "available".clone_into(&mut image.state);
    }
    let live = LiveImage {
        shown: aws.shown_when_created(Read::Images),
        launchable_at: aws.now + aws.rules.scaled(aws.rules.read_delay),
        available_at: aws.now + waits,
        protected_until: aws.now,
        waits_for: Vec::new(),
        view: image,
    };
    aws.put_image(live);
    id
}

/// Reads the attributes of the request and checks each, and that they do not contradict each other.
fn read(ask: Ask<'_>) -> Result<Image, Refused> {
    let query = ask.query;
    let description = query.owned("Description").filter(|text| !text.is_empty());
    image_attributes::check_description(description.as_deref().unwrap_or_default())?;
    let image = Image {
        owner_id: ask.account().to_owned(),
        state: "pending".to_owned(),
        description,
        // These defaults of AWS's suit hardly any image of today (model).
        architecture: one_of(query, "Architecture", ARCHITECTURES)?
            .unwrap_or("i386")
            .to_owned(),
        virtualization_type: one_of(query, "VirtualizationType", &["hvm", "paravirtual"])?
            .unwrap_or("paravirtual")
            .to_owned(),
        root_device_name: query.owned("RootDeviceName"),
        ena_support: query.flag("EnaSupport")?.unwrap_or(false),
        sriov_net_support: owned(one_of(query, "SriovNetSupport", &["simple"])?),
        boot_mode: owned(one_of(query, "BootMode", BOOT_MODES)?),
        tpm_support: owned(one_of(query, "TpmSupport", &["v2.0"])?),
        imds_support: owned(one_of(query, "ImdsSupport", &["v2.0"])?),
        uefi_data: uefi_data(query)?,
        kernel_id: query.owned("KernelId"),
        ramdisk_id: query.owned("RamdiskId"),
        ..Image::new(ask.region(), "", query.get("Name").unwrap_or_default())
    };
    consistent(&image)?;
    Ok(image)
}

fn one_of<'a>(query: &'a Query, name: &str, allowed: &[&str]) -> Result<Option<&'a str>, Refused> {
    match query.get(name) {
        Some(given) if !allowed.contains(&given) => Err(query.bad(name, given)),
        given => Ok(given),
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn uefi_data(query: &Query) -> Result<Option<String>, Refused> {
    let data = query.owned("UefiData");
    let base64 =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r');
    match data {
        Some(text) if text.len() > 64_000 || !text.bytes().all(base64) => {
            Err(query.bad("UefiData", text.get(..64).unwrap_or(&text)))
        }
        data => Ok(data),
    }
}

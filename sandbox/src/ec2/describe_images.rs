//! DescribeImages: the images that an account may see, as EC2 encodes them.

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, image_attributes, tags, visibility};
use crate::aws::{Aws, LiveImage};
use crate::model::{BlockDeviceMapping, Image};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "ImageId", 1)?;
    let filters = Filters::read(ask.query, |name| FILTERS.contains(&name))?;
    let wanted = ask.query.list("ImageId");
    for id in &wanted {
        ids::image(id)?;
    }
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let deprecated = ask.query.flag("IncludeDeprecated")?.unwrap_or(false);
    let disabled = ask.query.flag("IncludeDisabled")?.unwrap_or(false);
    for id in &wanted {
        let image = aws
            .described_images(true, None)
            .find(|image| image.view.image_id == *id);
        if !image.is_some_and(|image| is_visible(aws, ask, image)) {
            return Err(refusals::IMAGE_NOT_FOUND.with(&[id]));
        }
    }
    let owners = ask.query.list("Owner");
    let executors = ask.query.list("ExecutableBy");
    let own = (owners[..] == ["self"]).then(|| ask.account());
    let images = aws.described_images(!wanted.is_empty(), own);
    let images = images.filter(|image| {
        let view = &image.view;
        let own = view.owner_id == ask.account();
        let old = view
            .deprecation_time
            .as_ref()
            .is_some_and(|at| *at <= time::iso(aws.now));
        (wanted.is_empty() || wanted.contains(&view.image_id))
            && is_visible(aws, ask, image)
            && (deprecated || !old || own || !wanted.is_empty())
            && (disabled || view.state != "disabled")
            && (owners.is_empty() || owners.iter().any(|owner| is_owner(owner, view, ask)))
            && (executors.is_empty()
                || executors.iter().any(|who| may_execute(aws, who, view, ask)))
            && filters.admit(
                || shown_tags(aws, ask, image),
                |name| match name {
                    "image-allowed" => allowed(aws, ask, view).into_iter().collect(),
                    name => facts(view, name),
                },
            )
    });
    let (images, token) = page.cut(images.collect());
    let mut xml = Xml::new();
    xml.list("imagesSet", images, |xml, image| {
        write(xml, aws, ask, image);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn is_visible(aws: &Aws, ask: Ask<'_>, image: &LiveImage) -> bool {
    image.view.region == ask.region() && visibility::may_launch(aws, &image.view, ask.account())
}

fn is_owner(owner: &str, image: &Image, ask: Ask<'_>) -> bool {
    image.owner_id == owner || (owner == "self" && image.owner_id == ask.account())
}

fn may_execute(aws: &Aws, who: &str, image: &Image, ask: Ask<'_>) -> bool {
    match who {
        "all" => image.public,
        // An account sees permissions by organization only for itself (model).
        "self" => visibility::is_permitted(aws, image, ask.account()),
        own if own == ask.account() => visibility::is_permitted(aws, image, own),
        other => visibility::is_named(image, other),
    }
}

/// Returns the tags that the caller sees. Only the owner sees tags.
fn shown_tags<'a>(aws: &Aws, ask: Ask<'_>, image: &'a LiveImage) -> Vec<(&'a str, &'a str)> {
    if image.view.owner_id != ask.account() {
        return Vec::new();
    }
    let tags = image.shown.tags.shown(&image.view.tags, aws.now).iter();
    tags.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

const FILTERS: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "creation-date",
    "description",
    "ena-support",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "is-public",
    "kernel-id",
    "name",
    "owner-id",
    "platform",
    "product-code",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "sriov-net-support",
    "state",
    "virtualization-type",
];

fn facts(image: &Image, filter: &str) -> Vec<String> {
    let maybe = |value: &Option<String>| value.iter().cloned().collect();
    if let Some(field) = filter.strip_prefix("block-device-mapping.") {
        let mappings = image.block_device_mappings.iter();
        return mappings
            .filter_map(|mapping| mapping_fact(mapping, field))
            .collect();
    }
    match filter {
        "architecture" => vec![image.architecture.clone()],
        "creation-date" => vec![time::iso(image.creation_date)],
        "description" => maybe(&image.description),
        "ena-support" => vec![image.ena_support.to_string()],
        "hypervisor" => vec!["xen".to_owned()],
        "image-id" => vec![image.image_id.clone()],
        "image-type" => vec!["machine".to_owned()],
        "is-public" => vec![image.public.to_string()],
        "kernel-id" => maybe(&image.kernel_id),
        "name" => vec![image.name.clone()],
        "owner-id" => vec![image.owner_id.clone()],
        "platform" => maybe(&image.platform),
        "product-code" => image.product_codes.clone(),
        "ramdisk-id" => maybe(&image.ramdisk_id),
        "root-device-name" => maybe(&image.root_device_name),
        "root-device-type" => vec![image.root_device_type.clone()],
        "source-image-id" => maybe(&image.source_image_id),
        "source-image-region" => maybe(&image.source_image_region),
        "sriov-net-support" => maybe(&image.sriov_net_support),
        "state" => vec![image.state.clone()],
        "virtualization-type" => vec![image.virtualization_type.clone()],
        _ => Vec::new(),
    }
}

fn mapping_fact(mapping: &BlockDeviceMapping, field: &str) -> Option<String> {
    if field == "device-name" {
        return Some(mapping.device_name.clone());
    }
    let ebs = mapping.ebs.as_ref()?;
    match field {
        "delete-on-termination" => ebs.delete_on_termination.map(|flag| flag.to_string()),
        "encrypted" => Some(ebs.encrypted.to_string()),
        "snapshot-id" => ebs.snapshot_id.clone(),
        "volume-size" => ebs.volume_size.map(|size| size.to_string()),
        "volume-type" => ebs.volume_type.clone(),
        _ => None,
    }
}

/// Returns whether the image meets the account's criteria, in a Region where Allowed AMIs is
/// enabled or audited.
fn allowed(aws: &Aws, ask: Ask<'_>, image: &Image) -> Option<String> {
    let allowed = aws.image_allowed(image, ask.account());
    allowed.map(|allowed| allowed.to_string())
}

fn write(xml: &mut Xml, aws: &Aws, ask: Ask<'_>, live: &LiveImage) {
    let image = &live.view;
    xml.text("imageId", &image.image_id)
        .text(
            "imageLocation",
            format!("{}/{}", image.owner_id, image.name),
        )
        .text("imageState", &image.state)
        .text("imageOwnerId", &image.owner_id)
        .text("creationDate", time::iso(image.creation_date))
        .flag("isPublic", image.public)
        .text("architecture", &image.architecture)
        .text("imageType", "machine")
        .text("name", &image.name)
        .maybe("description", image.description.as_deref())
        .maybe("kernelId", image.kernel_id.as_deref())
        .maybe("ramdiskId", image.ramdisk_id.as_deref())
        .maybe("platform", image.platform.as_deref())
        .text("platformDetails", &image.platform_details)
        .text("usageOperation", &image.usage_operation)
        .text("rootDeviceType", &image.root_device_type)
        .maybe("rootDeviceName", image.root_device_name.as_deref())
        .text("virtualizationType", &image.virtualization_type)
        .text("hypervisor", "xen")
        .flag("enaSupport", image.ena_support)
        .maybe("sriovNetSupport", image.sriov_net_support.as_deref())
        .maybe("bootMode", image.boot_mode.as_deref())
        .maybe("tpmSupport", image.tpm_support.as_deref())
        .maybe("imdsSupport", image.imds_support.as_deref())
        .text(
            "deregistrationProtection",
            image_attributes::protection(image),
        )
        .maybe("deprecationTime", image.deprecation_time.as_deref())
        .maybe("sourceImageId", image.source_image_id.as_deref())
        .maybe("sourceImageRegion", image.source_image_region.as_deref())
        .maybe("imageAllowed", allowed(aws, ask, image).as_deref());
    if let Some(code) = &image.state_reason {
        xml.element("stateReason", |xml| {
            xml.text("code", code)
                .text("message", format!("{code}: the image could not be made"));
        });
    }
    if !image.watermarks.is_empty() {
        xml.list("imageWatermarkSet", &image.watermarks, |xml, key| {
            xml.text("watermarkKey", key)
                .text("sourceImageRegion", &image.region);
        });
    }
    if !image.product_codes.is_empty() {
        write_product_codes(xml, &image.product_codes);
    }
    xml.list(
        "blockDeviceMapping",
        &image.block_device_mappings,
        write_mapping,
    );
    let tags = shown_tags(aws, ask, live);
    let tags = tags
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    tags::write(xml, &tags.collect());
}

pub(super) fn write_product_codes(xml: &mut Xml, codes: &[String]) {
    xml.list("productCodes", codes, |xml, code| {
        xml.text("productCode", code).text("type", "marketplace");
    });
}

pub(super) fn write_mapping(xml: &mut Xml, mapping: &BlockDeviceMapping) {
    xml.text("deviceName", &mapping.device_name);
    xml.maybe("virtualName", mapping.virtual_name.as_deref());
    if mapping.no_device {
        xml.text("noDevice", "");
    }
    let Some(ebs) = &mapping.ebs else { return };
    xml.element("ebs", |xml| {
        if let Some(flag) = ebs.delete_on_termination {
            xml.flag("deleteOnTermination", flag);
        }
        xml.maybe("snapshotId", ebs.snapshot_id.as_deref());
        for (tag, number) in [
            ("volumeSize", ebs.volume_size),
            ("iops", ebs.iops),
            ("throughput", ebs.throughput),
        ] {
            if let Some(number) = number {
                xml.number(tag, number);
            }
        }
        xml.maybe("volumeType", ebs.volume_type.as_deref())
            .flag("encrypted", ebs.encrypted);
    });
}

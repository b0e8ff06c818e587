//! Images as facts, read through DescribeImages and DescribeImageAttribute.

use std::borrow::Cow;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, Image, ImageAttributeName, ImageWatermark,
    VolumeType,
};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::{Place, refusal, tags};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::source::{Device, ImageFacts, Mapping, Watermark};

/// Reads an image of the caller's own, even a disabled one; `None` if there is no such image, or
/// none that shows yet.
pub async fn own_image(ec2: &Client, at: &Place, id: &ImageId) -> Result<Option<Image>, Refusal> {
    let answer = ec2
        .describe_images()
        .image_ids(id.as_str())
        .owners("self")
        .include_disabled(true)
        .send()
        .await;
    match answer.map_err(|e| refusal("DescribeImages", at, id, &e)) {
        Ok(answer) => Ok(answer.images.unwrap_or_default().into_iter().next()),
        Err(refusal)
            if refusal.code.starts_with("InvalidAMIID.")
                && refusal.code != "InvalidAMIID.Malformed" =>
        {
            Ok(None)
        }
        Err(refusal) => Err(refusal),
    }
}

/// Lists the caller's own images that match one filter, disabled ones too, the oldest first.
pub async fn own_images_by(
    ec2: &Client,
    at: &Place,
    filter: &str,
    value: &str,
) -> Result<Vec<Image>, Refusal> {
    let filter = Filter::builder().name(filter).values(value).build();
    let answer = ec2
        .describe_images()
        .owners("self")
        .filters(filter)
        .include_disabled(true)
        .send()
        .await;
    let answer = answer.map_err(|e| refusal("DescribeImages", at, value, &e))?;
    let mut images = answer.images.unwrap_or_default();
    images.sort_by(|a, b| (&a.creation_date, &a.image_id).cmp(&(&b.creation_date, &b.image_id)));
    Ok(images)
}

/// Lists the images of this account that use any of these snapshots, disabled ones too.
pub async fn using(ec2: &Client, at: &Place, ids: &[SnapshotId]) -> Result<Vec<Image>, Refusal> {
    let mut images = Vec::new();
    for some in ids.chunks(super::copies::FILTER_VALUES) {
        let filter = Filter::builder().name("block-device-mapping.snapshot-id");
        let values = some.iter().map(ToString::to_string).collect();
        let answer = ec2
            .describe_images()
            .owners("self")
            .include_disabled(true)
            .filters(filter.set_values(Some(values)).build())
            .send()
            .await;
        let answer = answer.map_err(|e| refusal("DescribeImages", at, &some[0], &e))?;
        images.extend(answer.images.unwrap_or_default());
    }
    Ok(images)
}

/// Reads the UEFI data, which only DescribeImageAttribute returns and only images that boot by UEFI
/// have. Images for Arm boot by UEFI without a boot mode that says so.
pub async fn uefi_data(
    ec2: &Client,
    at: &Place,
    id: &ImageId,
    facts: &mut ImageFacts,
) -> Result<(), Refusal> {
    let boots_by_uefi = match facts.boot_mode.as_deref() {
        Some(mode) => mode.starts_with("uefi"),
        None => facts
            .architecture
            .as_deref()
            .is_some_and(|a| a.starts_with("arm64")),
    };
    if !boots_by_uefi {
        return Ok(());
    }
    let answer = ec2
        .describe_image_attribute()
        .image_id(id.as_str())
        .attribute(ImageAttributeName::UefiData)
        .send()
        .await;
    let answer = answer.map_err(|e| refusal("DescribeImageAttribute", at, id, &e))?;
    facts.uefi_data = answer
        .uefi_data
        .and_then(|data| data.value)
        .filter(|data| !data.is_empty());
    Ok(())
}

pub fn id_of(image: &Image) -> Option<ImageId> {
    image.image_id().and_then(|id| ImageId::parse(id).ok())
}

/// Returns when an image was created (Unix seconds); long ago, if AWS does not say.
pub fn created(image: &Image) -> i64 {
    seconds(image.creation_date()).unwrap_or_default()
}

fn seconds(date: Option<&str>) -> Option<i64> {
    let date = DateTime::from_str(date?, Format::DateTime).ok()?;
    Some(date.secs())
}

fn watermark(told: &ImageWatermark) -> Watermark {
    let seconds = |date: Option<&DateTime>| date.map(DateTime::secs);
    Watermark {
        key: told.watermark_key().unwrap_or_default().to_owned(),
        region: told.source_image_region().unwrap_or_default().to_owned(),
        image_created: seconds(told.source_image_creation_time()),
        created: seconds(told.watermark_creation_time()),
    }
}

/// Reads the facts of an image, without UEFI data. A field that AWS leaves out stays out.
pub fn facts(image: &Image) -> ImageFacts {
    ImageFacts {
        name: image.name().unwrap_or_default().to_owned(),
        state: image
            .state()
            .map_or_else(String::new, |s| s.as_str().to_owned()),
        state_reason: image
            .state_reason()
            .and_then(|r| r.message())
            .map(str::to_owned),
        description: image
            .description()
            .filter(|d| !d.is_empty())
            .map(str::to_owned),
        architecture: image.architecture().map(|a| a.as_str().to_owned()),
        virtualization_type: image.virtualization_type().map(|v| v.as_str().to_owned()),
        root_device_type: image.root_device_type().map(|t| t.as_str().to_owned()),
        root_device_name: image.root_device_name().map(str::to_owned),
        ena_support: image.ena_support().unwrap_or(false),
        sriov_net_support: image
            .sriov_net_support()
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
        boot_mode: image.boot_mode().map(|b| b.as_str().to_owned()),
        tpm_support: image.tpm_support().map(|t| t.as_str().to_owned()),
        imds_support: image.imds_support().map(|i| i.as_str().to_owned()),
        uefi_data: None,
        kernel: image
            .kernel_id()
            .filter(|k| !k.is_empty())
            .map(str::to_owned),
        platform_details: image.platform_details().map(str::to_owned),
        usage_operation: image.usage_operation().map(str::to_owned),
        product_codes: image
            .product_codes()
            .iter()
            .filter_map(|p| p.product_code_id())
            .map(str::to_owned)
            .collect(),
        created: seconds(image.creation_date()),
        deprecated: seconds(image.deprecation_time()),
        watermarks: image.image_watermarks().iter().map(watermark).collect(),
        mappings: image
            .block_device_mappings()
            .iter()
            .filter_map(mapping)
            .collect(),
        unregistrable: unregistrable(image),
        tags: tags::to_map(image.tags()),
    }
}

/// Lists the attributes of an image that RegisterImage cannot set.
fn unregistrable(image: &Image) -> Vec<(Cow<'static, str>, String, Cow<'static, str>)> {
    let deprecation = image
        .deprecation_time()
        .map(|time| ("DeprecationTime", time.to_owned(), "EnableImageDeprecation"));
    let protection = image
        .deregistration_protection()
        .filter(|told| told.starts_with("enabled"))
        .map(|told| {
            (
                "DeregistrationProtection",
                told.to_owned(),
                "EnableImageDeregistrationProtection",
            )
        });
    let types = image.instance_type_specification().map(|_| {
        (
            "InstanceTypeSpecification",
            "see DescribeImages".to_owned(),
            "ReplaceImageInstanceTypeSpecification",
        )
    });
    let watermarks = image.image_watermarks().len();
    let watermarks = (watermarks > 0).then(|| {
        (
            "ImageWatermarks",
            watermarks.to_string(),
            "AttachImageWatermark",
        )
    });
    [deprecation, protection, types, watermarks]
        .into_iter()
        .flatten()
        .map(|(attribute, value, action)| (attribute.into(), value, action.into()))
        .collect()
}

fn mapping(mapping: &BlockDeviceMapping) -> Option<Mapping> {
    let device = if let Some(ebs) = mapping.ebs() {
        Device::Ebs {
            snapshot: ebs.snapshot_id().and_then(|id| SnapshotId::parse(id).ok()),
            delete_on_termination: ebs.delete_on_termination(),
            volume_type: ebs.volume_type().map(|t| t.as_str().to_owned()),
            size: ebs.volume_size(),
            iops: ebs.iops().filter(|_| takes_iops(ebs)),
            throughput: ebs.throughput().filter(|_| takes_throughput(ebs)),
            encrypted: ebs.encrypted().unwrap_or(false),
        }
    } else if let Some(name) = mapping.virtual_name() {
        Device::Ephemeral(name.to_owned())
    } else {
        Device::NoDevice
    };
    Some(Mapping {
        device_name: mapping.device_name()?.to_owned(),
        device,
    })
}

/// EC2 returns the baseline of other types too, and refuses it when an image is registered.
fn takes_iops(ebs: &EbsBlockDevice) -> bool {
    matches!(
        ebs.volume_type(),
        Some(VolumeType::Gp3 | VolumeType::Io1 | VolumeType::Io2)
    )
}

fn takes_throughput(ebs: &EbsBlockDevice) -> bool {
    ebs.volume_type() == Some(&VolumeType::Gp3)
}

//! The image to copy, as facts, and the comparison of a copy with it.
//!
//! Differences matter for these reasons:
//!
//! - PlatformDetails, UsageOperation: EC2 would bill the copy wrongly, and nobody can set them. The
//!   copy is discarded.
//! - Architecture, virtualization, root device, boot mode, UEFI data, TPM: the copy would not boot,
//!   or not attest.
//! - ENA, SR-IOV: the copy would boot without a network on current instance types.
//! - Block device mappings: the copy would boot with other disks.
//! - IMDS support, weaker than the source's: instances would accept IMDSv1 again.
//!
//! Names, descriptions and tags are not compared, because the target's people may change them after
//! registration.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, ImageId, KeyArn, SnapshotId};

mod attributes;
mod problems;

pub use attributes::Attribute;
pub use problems::{KeyFault, Problem};

/// EC2's word for an image that it shows only in answer to a request for disabled images.
pub const DISABLED: &str = "disabled";

/// The device behind a device name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// An EBS volume.
    Ebs {
        /// The snapshot; an empty volume has none.
        snapshot: Option<SnapshotId>,
        /// Whether the volume is deleted with its instance.
        delete_on_termination: Option<bool>,
        /// The volume's type, such as `gp3`.
        volume_type: Option<String>,
        /// The volume's size in GiB.
        size: Option<i32>,
        /// The volume's IOPS.
        iops: Option<i32>,
        /// The volume's throughput in MiB/s.
        throughput: Option<i32>,
        /// Whether the volume is encrypted.
        encrypted: bool,
    },
    /// An instance store volume, such as `ephemeral0`.
    Ephemeral(String),
    /// No device, where the instance type would otherwise map one.
    NoDevice,
}

/// A device name and its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The name, such as `/dev/xvda`.
    pub device_name: String,
    /// The device.
    pub device: Device,
}

/// An image as DescribeImages and DescribeImageAttribute show it. Absent attributes are `None`, and
/// enumerations are AWS's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The image's name.
    pub name: String,
    /// The state, such as `available`.
    pub state: String,
    /// AWS's reason for the state.
    pub state_reason: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The architecture, such as `x86_64`.
    pub architecture: Option<String>,
    /// The virtualization type, such as `hvm`.
    pub virtualization_type: Option<String>,
    /// The root device type: `ebs` or `instance-store`.
    pub root_device_type: Option<String>,
    /// The root device's name.
    pub root_device_name: Option<String>,
    /// Whether the image supports ENA.
    pub ena_support: bool,
    /// The SR-IOV support: `simple`.
    pub sriov_net_support: Option<String>,
    /// The boot mode, such as `uefi`.
    pub boot_mode: Option<String>,
    /// The TPM support: `v2.0`.
    pub tpm_support: Option<String>,
    /// The IMDS support: `v2.0`.
    pub imds_support: Option<String>,
    /// The UEFI data, in base64.
    pub uefi_data: Option<String>,
    /// The kernel of a paravirtual image.
    pub kernel: Option<String>,
    /// The platform details, which decide on the bill.
    pub platform_details: Option<String>,
    /// The usage operation, which decides on the bill.
    pub usage_operation: Option<String>,
    /// The product codes of AWS Marketplace.
    pub product_codes: Vec<String>,
    /// When the image was created (Unix seconds).
    pub created: Option<i64>,
    /// When the image is deprecated (Unix seconds), in the past or to come.
    pub deprecated: Option<i64>,
    /// The marks of accounts.
    pub watermarks: Vec<Watermark>,
    /// The block device mappings.
    pub mappings: Vec<Mapping>,
    /// Attributes that RegisterImage cannot set: the attribute, its value, and the action that sets
    /// it on an image.
    pub unregistrable: Vec<(Cow<'static, str>, String, Cow<'static, str>)>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// A mark that an account set on an image, which copies made by CopyImage keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The account and the name of the mark: `account:name`.
    pub key: String,
    /// The Region of the image that was marked first.
    pub region: String,
    /// When that image was created (Unix seconds).
    pub image_created: Option<i64>,
    /// When the mark was set (Unix seconds).
    pub created: Option<i64>,
}

/// A snapshot of the source image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSnapshot {
    /// The snapshot's ID.
    pub id: SnapshotId,
    /// The account that owns the snapshot.
    pub owner: AccountId,
    /// The state, such as `completed`.
    pub state: String,
    /// Whether the snapshot is encrypted.
    pub encrypted: bool,
    /// The key, if the snapshot is encrypted.
    pub key: Option<KeyArn>,
    /// Whether the snapshot is in the archive tier.
    pub archived: bool,
    /// Bytes of data, if EC2 shows the number.
    pub full_bytes: Option<i64>,
    /// The description.
    pub description: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// The image to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The image's ID.
    pub id: ImageId,
    /// The account that owns the image.
    pub owner: AccountId,
    /// The facts about the image.
    pub image: ImageFacts,
    /// The snapshots, each once: the root device's first, then in the order of the mappings.
    pub snapshots: Vec<SourceSnapshot>,
    /// The image's keys that are AWS-managed (`aws/ebs`).
    pub aws_managed_keys: Vec<KeyArn>,
    /// Keys that EBS cannot use for anybody, each with the fault.
    pub unusable_keys: Vec<(KeyArn, KeyFault)>,
}

impl ImageFacts {
    /// Returns the snapshots of the mappings, each once: the root device's first, then in the order
    /// of the mappings.
    pub fn snapshots(&self) -> Vec<SnapshotId> {
        let root = self
            .mappings
            .iter()
            .filter(|m| Some(&m.device_name) == self.root_device_name.as_ref());
        let root = root.filter_map(|m| m.device.snapshot().cloned());
        let mut found: Vec<SnapshotId> = root.collect();
        for mapping in &self.mappings {
            if let Device::Ebs {
                snapshot: Some(id), ..
            } = &mapping.device
                && !found.contains(id)
            {
                found.push(id.clone());
            }
        }
        found
    }
}

impl Source {
    /// Returns the distinct keys of the snapshots.
    pub fn keys(&self) -> Vec<KeyArn> {
        let mut keys: Vec<KeyArn> = self
            .snapshots
            .iter()
            .filter_map(|s| s.key.clone())
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Returns for each snapshot whether it is under one of these keys.
    pub fn under(&self, keys: &[KeyArn]) -> Vec<bool> {
        let under = |s: &SourceSnapshot| s.key.as_ref().is_some_and(|key| keys.contains(key));
        self.snapshots.iter().map(under).collect()
    }

    /// Returns the mappings of this image, with each snapshot replaced by its copy.
    pub fn mappings_onto(&self, copies: &[SnapshotId]) -> Vec<Mapping> {
        let copy_of = |id: &SnapshotId| {
            let index = self.snapshots.iter().position(|s| s.id == *id);
            index.and_then(|i| copies.get(i)).cloned()
        };
        let mut mappings = self.image.mappings.clone();
        for mapping in &mut mappings {
            if let Device::Ebs {
                snapshot: Some(id), ..
            } = &mut mapping.device
                && let Some(copy) = copy_of(id)
            {
                *id = copy;
            }
        }
        mappings
    }
}

impl Device {
    /// Returns the snapshot of an EBS volume, if it has one.
    pub fn snapshot(&self) -> Option<&SnapshotId> {
        match self {
            Self::Ebs { snapshot, .. } => snapshot.as_ref(),
            Self::Ephemeral(_) | Self::NoDevice => None,
        }
    }
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or("absent")
}

#[cfg(test)]
pub(crate) mod tests;

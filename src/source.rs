//! The image to copy, as facts, and the comparison of a copy with it.
//!
//! | difference | matters because |
//! |---|---|
//! | PlatformDetails, UsageOperation | EC2 would bill the copy wrongly, and nobody can set them: the copy is discarded |
//! | architecture, virtualization, root device, boot mode, UEFI data, TPM | it would not boot, or not attest |
//! | ENA, SR-IOV | it would boot without a network on current instance types |
//! | block device mappings | it would boot with other disks |
//! | IMDS support, weaker than the source's | instances would accept IMDSv1 again |
//!
//! Names, descriptions and tags are given at registration and may be changed by the target's people later: not compared.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::ids::{AccountId, ImageId, SnapshotId};

/// What stands behind a device name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// An EBS volume; without a snapshot it is an empty one.
    Ebs {
        snapshot: Option<SnapshotId>,
        delete_on_termination: Option<bool>,
        volume_type: Option<String>,
        /// GiB.
        size: Option<i32>,
        iops: Option<i32>,
        /// MiB/s.
        throughput: Option<i32>,
        encrypted: bool,
    },
    /// An instance store volume, such as `ephemeral0`.
    Ephemeral(String),
    /// Suppresses what the instance type would otherwise map.
    NoDevice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub device_name: String,
    pub device: Device,
}

/// An image as DescribeImages and DescribeImageAttribute tell it. Absent attributes are `None`, enumerations AWS's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    pub name: String,
    pub state: String,
    pub state_reason: Option<String>,
    pub description: Option<String>,
    pub architecture: Option<String>,
    pub virtualization_type: Option<String>,
    pub root_device_type: Option<String>,
    pub root_device_name: Option<String>,
    pub ena_support: bool,
    pub sriov_net_support: Option<String>,
    pub boot_mode: Option<String>,
    pub tpm_support: Option<String>,
    pub imds_support: Option<String>,
    pub uefi_data: Option<String>,
    pub kernel: Option<String>,
    pub platform_details: Option<String>,
    pub usage_operation: Option<String>,
    pub product_codes: Vec<String>,
    pub mappings: Vec<Mapping>,
    pub tags: BTreeMap<String, String>,
}

/// A snapshot of the source image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSnapshot {
    pub id: SnapshotId,
    pub owner: AccountId,
    pub state: String,
    pub encrypted: bool,
    /// The ARN of its key, if encrypted.
    pub key: Option<String>,
    pub archived: bool,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// The image to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: ImageId,
    pub owner: AccountId,
    pub image: ImageFacts,
    /// Each once, in the order of the mappings.
    pub snapshots: Vec<SourceSnapshot>,
    /// Those of its keys that are AWS-managed (`aws/ebs`).
    pub aws_managed_keys: Vec<String>,
}

impl ImageFacts {
    /// The snapshots behind the mappings, each once, in their order.
    pub fn snapshots(&self) -> Vec<SnapshotId> {
        let mut found = Vec::new();
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
    /// The distinct keys of its snapshots.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self
            .snapshots
            .iter()
            .filter_map(|s| s.key.clone())
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Refuses, before anything is shared, what cannot be copied, with what to do about it.
    /// `reencrypted`: what nobody else may use the key of is copied under another first.
    pub fn check_copyable(&self, reencrypted: bool) -> Result<(), Error> {
        refuse_first(self.problems_of_copying(reencrypted))
    }

    /// Refuses what cannot be shared: others could not launch from it.
    pub fn check_shareable(&self, snapshots: bool) -> Result<(), Error> {
        refuse_first(self.problems_of_sharing(snapshots))
    }

    /// All that stands against copying it.
    pub fn problems_of_copying(&self, reencrypted: bool) -> Vec<String> {
        let (id, image) = (&self.id, &self.image);
        let mut problems: Vec<String> = self.unavailable("copied").into_iter().collect();
        if self.snapshots.is_empty() {
            problems.push(format!(
                "{id} has no EBS snapshot (root device type {}); only EBS-backed images can be copied",
                text(image.root_device_type.as_deref())
            ));
        }
        if !image.product_codes.is_empty() {
            let codes = image.product_codes.join(", ");
            problems.push(format!(
                "{id} carries product codes ({codes}): AWS Marketplace images cannot be copied to another account; subscribe there and use the original"
            ));
        }
        if let Some(kernel) = &image.kernel {
            problems.push(format!(
                "{id} is a paravirtual image with kernel {kernel}, which exists in its own Region only; convert it to HVM"
            ));
        }
        for snapshot in &self.snapshots {
            problems.extend(self.uncopyable(snapshot));
            let unshareable = self.unshareable_key(snapshot).filter(|_| !reencrypted);
            problems.extend(unshareable.map(|problem| {
                format!("{problem}, or name such a key of the source account as ReencryptKmsKeyId: then amiferry does that for the time of the run")
            }));
        }
        problems
    }

    /// All that stands against sharing it.
    pub fn problems_of_sharing(&self, snapshots: bool) -> Vec<String> {
        let id = &self.id;
        let mut problems: Vec<String> = self.unavailable("shared").into_iter().collect();
        for snapshot in &self.snapshots {
            problems.extend(self.unshareable_key(snapshot));
            if snapshots && snapshot.owner != self.owner {
                problems.push(format!(
                    "snapshot {} of {id} belongs to account {}; only its owner can share it: leave out ShareSnapshots",
                    snapshot.id, snapshot.owner
                ));
            }
        }
        problems
    }

    fn unavailable(&self, what: &str) -> Option<String> {
        let image = &self.image;
        let reason = image
            .state_reason
            .as_deref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        (image.state != "available").then(|| {
            format!(
                "{} is {}{reason}; only an available image can be {what}: wait until it is, or name another",
                self.id, image.state
            )
        })
    }

    fn unshareable_key(&self, snapshot: &SourceSnapshot) -> Option<String> {
        let key = snapshot.key.as_ref()?;
        self.aws_managed_keys.contains(key).then(|| {
            format!(
                "snapshot {} of {} is encrypted with the AWS-managed key aws/ebs ({key}), which no other account can ever use; \
                 copy the image in the source account under a customer-managed key first (aws ec2 copy-image --encrypted --kms-key-id …) and distribute that copy",
                snapshot.id, self.id
            )
        })
    }

    fn uncopyable(&self, snapshot: &SourceSnapshot) -> Option<String> {
        let (id, image) = (&snapshot.id, &self.id);
        if snapshot.owner != self.owner {
            return Some(format!(
                "snapshot {id} of {image} belongs to account {}; only its owner can share it: copy the image into your account first",
                snapshot.owner
            ));
        }
        if snapshot.archived {
            return Some(format!(
                "snapshot {id} of {image} is archived and cannot be copied; restore it first (aws ec2 restore-snapshot-tier --snapshot-id {id} --permanent-restore)"
            ));
        }
        if snapshot.state != "completed" {
            return Some(format!(
                "snapshot {id} of {image} is {}; only a completed snapshot can be copied",
                snapshot.state
            ));
        }
        None
    }

    /// Those of the snapshots that are under one of these keys.
    pub fn under(&self, keys: &[String]) -> Vec<bool> {
        let under = |s: &SourceSnapshot| s.key.as_ref().is_some_and(|key| keys.contains(key));
        self.snapshots.iter().map(under).collect()
    }

    /// How `copy` differs from this image where it matters; empty when it is faithful. `copies` are the snapshots that
    /// stand for ours, in our order.
    pub fn differences(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<String> {
        let ours = &self.image;
        let pairs = [
            (
                "PlatformDetails",
                &ours.platform_details,
                &copy.platform_details,
            ),
            (
                "UsageOperation",
                &ours.usage_operation,
                &copy.usage_operation,
            ),
            ("Architecture", &ours.architecture, &copy.architecture),
            (
                "VirtualizationType",
                &ours.virtualization_type,
                &copy.virtualization_type,
            ),
            (
                "RootDeviceName",
                &ours.root_device_name,
                &copy.root_device_name,
            ),
            (
                "SriovNetSupport",
                &ours.sriov_net_support,
                &copy.sriov_net_support,
            ),
            ("BootMode", &ours.boot_mode, &copy.boot_mode),
            ("TpmSupport", &ours.tpm_support, &copy.tpm_support),
            ("UefiData", &ours.uefi_data, &copy.uefi_data),
        ];
        let mut found: Vec<String> = pairs
            .iter()
            .filter(|(_, source, copy)| source != copy)
            .map(|(what, source, copy)| {
                format!(
                    "{what} is {} where the source has {}",
                    text(copy.as_deref()),
                    text(source.as_deref())
                )
            })
            .collect();
        if ours.ena_support != copy.ena_support {
            found.push(format!(
                "EnaSupport is {} where the source has {}",
                copy.ena_support, ours.ena_support
            ));
        }
        if ours.imds_support.is_some() && copy.imds_support != ours.imds_support {
            found.push(format!(
                "ImdsSupport is {} where the source has {}",
                text(copy.imds_support.as_deref()),
                text(ours.imds_support.as_deref())
            ));
        }
        found.extend(self.mapping_differences(copy, copies));
        found
    }

    fn mapping_differences(&self, copy: &ImageFacts, copies: &[SnapshotId]) -> Vec<String> {
        let expected = self.mappings_onto(copies);
        let mut found = Vec::new();
        for mapping in &expected {
            let there = copy
                .mappings
                .iter()
                .find(|m| m.device_name == mapping.device_name);
            if there.is_none_or(|there| !same_device(&mapping.device, &there.device)) {
                found.push(format!(
                    "the block device mapping of {} is not the source's",
                    mapping.device_name
                ));
            }
        }
        for mapping in &copy.mappings {
            if !expected
                .iter()
                .any(|m| m.device_name == mapping.device_name)
            {
                found.push(format!(
                    "there is a block device mapping of {} that the source has not",
                    mapping.device_name
                ));
            }
        }
        found
    }

    /// Our mappings with each snapshot replaced by its copy.
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

fn refuse_first(problems: Vec<String>) -> Result<(), Error> {
    match problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Error::invalid("SourceImageId", problem)),
    }
}

/// Equal but for encryption, which the copies have even where the source had none.
fn same_device(expected: &Device, there: &Device) -> bool {
    let decrypted = |device: &Device| match device.clone() {
        Device::Ebs {
            snapshot,
            delete_on_termination,
            volume_type,
            size,
            iops,
            throughput,
            ..
        } => Device::Ebs {
            snapshot,
            delete_on_termination,
            volume_type,
            size,
            iops,
            throughput,
            encrypted: false,
        },
        other => other,
    };
    decrypted(expected) == decrypted(there)
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or("absent")
}

#[cfg(test)]
pub(crate) mod tests;

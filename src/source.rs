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
use std::fmt;

use crate::error::Error;
use crate::ids::{AccountId, ImageId, SnapshotId};
use crate::kms::KeyArn;

/// EC2's word for an image that shows only to those who ask for disabled images.
pub const DISABLED: &str = "disabled";

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
    /// Unix seconds.
    pub created: Option<i64>,
    /// Unix seconds, in the past or to come.
    pub deprecated: Option<i64>,
    pub watermarks: Vec<Watermark>,
    pub mappings: Vec<Mapping>,
    /// What RegisterImage cannot set: the attribute, its value, and the action that gives it to an image.
    pub unregistrable: Vec<(&'static str, String, &'static str)>,
    pub tags: BTreeMap<String, String>,
}

/// A mark that an account set on an image, which copies made by CopyImage keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watermark {
    /// `account:name`.
    pub key: String,
    /// The Region of the image that was marked first.
    pub region: String,
    /// When that image was created (Unix seconds).
    pub image_created: Option<i64>,
    /// When the mark was set (Unix seconds).
    pub created: Option<i64>,
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
    /// Bytes of data, where EC2 says so.
    pub full_bytes: Option<i64>,
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
    /// Keys that EBS cannot use, whoever may, and why.
    pub unusable_keys: Vec<(String, KeyFault)>,
}

/// Why EBS cannot use a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// A state other than `Enabled`.
    State(String),
    /// A key that does not encrypt symmetrically.
    Spec(String),
    /// A key that does not encrypt at all.
    Usage(String),
}

impl KeyFault {
    /// Says what is wrong with the key of this ARN.
    pub fn of(&self, arn: &str) -> String {
        match self {
            Self::State(state) => format!("{arn} is {state}"),
            Self::Spec(spec) => {
                format!("{arn} is of spec {spec}; EBS encrypts with symmetric keys only")
            }
            Self::Usage(usage) => {
                format!("{arn} is for {usage}; EBS uses keys for ENCRYPT_DECRYPT only")
            }
        }
    }

    /// Says what makes the key of this ARN usable again, in its own account.
    fn mend(&self, arn: &str) -> String {
        let home = KeyArn::parse(arn);
        let (region, account) = home.map_or(("", ""), |home| (home.region, home.account));
        let key = format!("--key-id {arn} --region {region}");
        match self {
            Self::State(state) if state == "PendingDeletion" => format!(
                "in account {account}: cancel the key's deletion and enable it (aws kms cancel-key-deletion {key}; aws kms enable-key {key})"
            ),
            Self::State(state) if state == "Disabled" => {
                format!("in account {account}: enable the key (aws kms enable-key {key})")
            }
            Self::State(_) => {
                format!("in account {account}: wait until the key is Enabled, or enable it")
            }
            Self::Spec(_) | Self::Usage(_) => {
                "name an image whose snapshots are under a symmetric key".to_owned()
            }
        }
    }
}

/// Something that stands against a request, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        remedy: remedy.into(),
    }
}

impl ImageFacts {
    /// The snapshots behind the mappings, each once: the root device's first, then in the order of the mappings.
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
    pub fn problems_of_copying(&self, reencrypted: bool) -> Vec<Problem> {
        let (id, image) = (&self.id, &self.image);
        let mut problems: Vec<Problem> = self.unavailable("copied").into_iter().collect();
        if self.snapshots.is_empty() {
            problems.push(problem(
                format!(
                    "{id} has no EBS snapshot (root device type {})",
                    text(image.root_device_type.as_deref())
                ),
                "name an EBS-backed image: only those can be copied",
            ));
        } else {
            problems.extend(self.rootless());
        }
        if !image.product_codes.is_empty() {
            let codes = image.product_codes.join(", ");
            problems.push(problem(
                format!("{id} carries product codes ({codes}), and AWS Marketplace images cannot be copied to another account"),
                "subscribe there and use the original",
            ));
        }
        if let Some(kernel) = &image.kernel {
            problems.push(problem(
                format!("{id} is a paravirtual image with kernel {kernel}, which exists in its own Region only"),
                "convert it to HVM",
            ));
        }
        for snapshot in &self.snapshots {
            problems.extend(self.uncopyable(snapshot));
            let unshareable = self.unshareable_key(snapshot).filter(|_| !reencrypted);
            problems.extend(unshareable.map(|found| Problem {
                remedy: format!("{}, or name such a key of the source account as ReencryptKmsKeyId: then amiferry does that for the time of the run", found.remedy),
                ..found
            }));
        }
        problems.extend(self.key_problems());
        problems
    }

    /// All that stands against sharing it.
    pub fn problems_of_sharing(&self, snapshots: bool) -> Vec<Problem> {
        let id = &self.id;
        let mut problems: Vec<Problem> = self.unavailable("shared").into_iter().collect();
        for snapshot in &self.snapshots {
            problems.extend(self.unshareable_key(snapshot));
            problems.extend(self.archived(snapshot, "launched from"));
            if snapshots && snapshot.owner != self.owner {
                problems.push(problem(
                    format!(
                        "snapshot {} of {id} belongs to account {}, and only its owner can share it",
                        snapshot.id, snapshot.owner
                    ),
                    "leave out ShareSnapshots",
                ));
            }
        }
        problems.extend(self.key_problems());
        problems
    }

    fn unavailable(&self, what: &str) -> Option<Problem> {
        let (id, image) = (&self.id, &self.image);
        let reason = image
            .state_reason
            .as_deref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        let remedy = if image.state == DISABLED {
            format!("enable it (aws ec2 enable-image --image-id {id}), or name another")
        } else {
            "wait until it is, or name another".to_owned()
        };
        (image.state != "available").then(|| {
            let state = &image.state;
            problem(
                format!("{id} is {state}{reason}, and only an available image can be {what}"),
                remedy,
            )
        })
    }

    /// EC2 registers no image whose root device has no snapshot.
    fn rootless(&self) -> Option<Problem> {
        let root = self.image.root_device_name.as_deref()?;
        let has_snapshot =
            |mapping: &Mapping| mapping.device_name == root && mapping.device.snapshot().is_some();
        (!self.image.mappings.iter().any(has_snapshot)).then(|| {
            problem(
                format!("the root device {root} of {} has no block device mapping with an EBS snapshot, and EC2 registers no such image", self.id),
                "name an image whose root device is an EBS volume",
            )
        })
    }

    /// Keys that would fail every copy and every launch.
    fn key_problems(&self) -> impl Iterator<Item = Problem> {
        self.unusable_keys.iter().map(|(arn, fault)| {
            let under = self.snapshots.iter().find(|s| s.key.as_ref() == Some(arn));
            let under = under.map_or_else(String::new, |s| {
                format!("snapshot {} is under a key that EBS cannot use: ", s.id)
            });
            problem(format!("{under}{}", fault.of(arn)), fault.mend(arn))
        })
    }

    fn unshareable_key(&self, snapshot: &SourceSnapshot) -> Option<Problem> {
        let key = snapshot.key.as_ref()?;
        self.aws_managed_keys.contains(key).then(|| {
            problem(
                format!(
                    "snapshot {} of {} is encrypted with the AWS-managed key aws/ebs ({key}), which no other account can ever use",
                    snapshot.id, self.id
                ),
                "copy the image in the source account under a customer-managed key first (aws ec2 copy-image --encrypted --kms-key-id …) and distribute that copy",
            )
        })
    }

    fn uncopyable(&self, snapshot: &SourceSnapshot) -> Option<Problem> {
        let (id, image) = (&snapshot.id, &self.id);
        if snapshot.owner != self.owner {
            return Some(problem(
                format!(
                    "snapshot {id} of {image} belongs to account {}, and only its owner can share it",
                    snapshot.owner
                ),
                "copy the image into your account first",
            ));
        }
        if let Some(archived) = self.archived(snapshot, "copied") {
            return Some(archived);
        }
        (snapshot.state != "completed").then(|| {
            problem(
                format!(
                    "snapshot {id} of {image} is {}, and only a completed snapshot can be copied",
                    snapshot.state
                ),
                "wait until it is, or name another image",
            )
        })
    }

    fn archived(&self, snapshot: &SourceSnapshot, done: &str) -> Option<Problem> {
        let id = &snapshot.id;
        snapshot.archived.then(|| {
            problem(
                format!("snapshot {id} of {} is archived and cannot be {done}", self.id),
                format!(
                    "restore it first (aws ec2 restore-snapshot-tier --snapshot-id {id} --permanent-restore)"
                ),
            )
        })
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
            let device = &mapping.device_name;
            let Some(there) = there else {
                found.push(format!("there is no block device mapping of {device}"));
                continue;
            };
            let differences = device_differences(&mapping.device, &there.device);
            found.extend(
                differences
                    .into_iter()
                    .map(|difference| format!("block device mapping of {device}: {difference}")),
            );
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

fn refuse_first(problems: Vec<Problem>) -> Result<(), Error> {
    match problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Error::invalid("SourceImageId", problem.to_string())),
    }
}

/// How `there` differs from `expected`, field by field. Encryption is no difference: the copies have it even where the source had
/// none.
fn device_differences(expected: &Device, there: &Device) -> Vec<String> {
    match (expected.told(), there.told()) {
        (Some(expected), Some(there)) => expected
            .into_iter()
            .zip(there)
            .filter(|(expected, there)| expected.1 != there.1)
            .map(|((field, expected), (_, there))| {
                format!("{field} is {there} where the source has {expected}")
            })
            .collect(),
        _ if expected == there => Vec::new(),
        _ => vec![format!(
            "it is {} where the source has {}",
            there.kind(),
            expected.kind()
        )],
    }
}

impl Device {
    pub fn snapshot(&self) -> Option<&SnapshotId> {
        match self {
            Self::Ebs { snapshot, .. } => snapshot.as_ref(),
            Self::Ephemeral(_) | Self::NoDevice => None,
        }
    }

    /// The fields of an EBS volume by AWS's names.
    fn told(&self) -> Option<[(&'static str, String); 6]> {
        fn word<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(|| "absent".to_owned(), ToString::to_string)
        }
        let Self::Ebs {
            snapshot,
            delete_on_termination,
            volume_type,
            size,
            iops,
            throughput,
            ..
        } = self
        else {
            return None;
        };
        Some([
            ("SnapshotId", word(snapshot.as_ref())),
            ("DeleteOnTermination", word(delete_on_termination.as_ref())),
            ("VolumeType", word(volume_type.as_ref())),
            ("VolumeSize", word(size.as_ref())),
            ("Iops", word(iops.as_ref())),
            ("Throughput", word(throughput.as_ref())),
        ])
    }

    fn kind(&self) -> String {
        match self {
            Self::Ebs { .. } => "an EBS volume".to_owned(),
            Self::Ephemeral(name) => name.clone(),
            Self::NoDevice => "no device".to_owned(),
        }
    }
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or("absent")
}

#[cfg(test)]
pub(crate) mod tests;

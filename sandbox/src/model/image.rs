//! Images and their block device mappings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::defaults;

/// An AMI. Built with [`Image::new`] for a world; read back with
/// [`Sandbox::images`](crate::Sandbox::images).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The Region.
    pub region: String,
    /// `ami-` and 8 or 17 hexadecimal digits.
    #[serde(rename = "id")]
    pub image_id: String,
    /// The name, unique in account and Region.
    pub name: String,
    /// The ID of the owning account; a world file leaves it out.
    #[serde(default)]
    pub owner_id: String,
    /// The description.
    #[serde(default)]
    pub description: Option<String>,
    /// The state: `available`, `pending`, `failed`, ….
    #[serde(default = "defaults::available")]
    pub state: String,
    /// The reason why the image is `failed`.
    #[serde(default)]
    pub state_reason: Option<String>,
    /// The time of creation.
    #[serde(skip, default = "defaults::epoch")]
    pub creation_date: SystemTime,
    /// The architecture.
    #[serde(default = "defaults::x86_64")]
    pub architecture: String,
    /// The virtualization type: `hvm` or `paravirtual`.
    #[serde(default = "defaults::hvm")]
    pub virtualization_type: String,
    /// The device name of the root volume.
    #[serde(default = "defaults::root_device_name")]
    pub root_device_name: Option<String>,
    /// The type of the root device: `ebs` or `instance-store`.
    #[serde(default = "defaults::ebs")]
    pub root_device_type: String,
    /// Whether the image supports enhanced networking with ENA.
    #[serde(default)]
    pub ena_support: bool,
    /// The support of enhanced networking with SR-IOV: `simple`, or nothing.
    #[serde(default)]
    pub sriov_net_support: Option<String>,
    /// The boot mode.
    #[serde(default)]
    pub boot_mode: Option<String>,
    /// The TPM support: `v2.0`, or nothing.
    #[serde(default)]
    pub tpm_support: Option<String>,
    /// The IMDS support: `v2.0`, or nothing.
    #[serde(default)]
    pub imds_support: Option<String>,
    /// UEFI data in Base64, readable only through `DescribeImageAttribute`.
    #[serde(default)]
    pub uefi_data: Option<String>,
    /// The kernel's ID.
    #[serde(default)]
    pub kernel_id: Option<String>,
    /// The RAM disk's ID.
    #[serde(default)]
    pub ramdisk_id: Option<String>,
    /// The platform: `windows`, or nothing.
    #[serde(default)]
    pub platform: Option<String>,
    /// The platform as billing names it.
    #[serde(default = "defaults::platform_details")]
    pub platform_details: String,
    /// The operation as billing names it.
    #[serde(default = "defaults::usage_operation")]
    pub usage_operation: String,
    /// The product codes of the AWS Marketplace.
    #[serde(default)]
    pub product_codes: Vec<String>,
    /// The time of deprecation: `2027-01-31T12:00:00.000Z`.
    #[serde(default)]
    pub deprecation_time: Option<String>,
    /// The deregistration protection: `enabled-without-cooldown` or `enabled-with-cooldown`.
    #[serde(default)]
    pub deregistration_protection: Option<String>,
    /// The watermarks, as `account:name`, which CopyImage keeps and RegisterImage cannot set.
    #[serde(default)]
    pub watermarks: Vec<String>,
    /// The block device mappings, in order.
    #[serde(default, rename = "mapping")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// The tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The launch permissions, apart from that of everybody.
    #[serde(default)]
    pub launch_permissions: BTreeSet<LaunchPermission>,
    /// Whether the image has the launch permission `Group=all`.
    #[serde(default)]
    pub public: bool,
    /// The ID of the image that this image was copied from.
    #[serde(default)]
    pub source_image_id: Option<String>,
    /// The Region of the image that this image was copied from.
    #[serde(default)]
    pub source_image_region: Option<String>,
}

impl Image {
    /// Returns an available x86_64 HVM image without mappings, owned by the account it is added to.
    pub fn new(region: &str, image_id: &str, name: &str) -> Self {
        Self {
            region: region.to_owned(),
            image_id: image_id.to_owned(),
            name: name.to_owned(),
            owner_id: String::new(),
            description: None,
            state: defaults::available(),
            state_reason: None,
            creation_date: SystemTime::UNIX_EPOCH,
            architecture: defaults::x86_64(),
            virtualization_type: defaults::hvm(),
            root_device_name: defaults::root_device_name(),
            root_device_type: defaults::ebs(),
            ena_support: false,
            sriov_net_support: None,
            boot_mode: None,
            tpm_support: None,
            imds_support: None,
            uefi_data: None,
            kernel_id: None,
            ramdisk_id: None,
            platform: None,
            platform_details: defaults::platform_details(),
            usage_operation: defaults::usage_operation(),
            product_codes: Vec::new(),
            deprecation_time: None,
            watermarks: Vec::new(),
            deregistration_protection: None,
            block_device_mappings: Vec::new(),
            tags: BTreeMap::new(),
            launch_permissions: BTreeSet::new(),
            public: false,
            source_image_id: None,
            source_image_region: None,
        }
    }

    /// Adds a block device mapping.
    #[must_use]
    pub fn mapping(mut self, mapping: BlockDeviceMapping) -> Self {
        self.block_device_mappings.push(mapping);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Changes anything else: `Image::new(…).with(|image| image.ena_support = true)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Returns the snapshot of the root device.
    pub fn root_snapshot_id(&self) -> Option<&str> {
        let root = self.root_device_name.as_ref()?;
        let mut mappings = self.block_device_mappings.iter();
        let mapping = mappings.find(|mapping| mapping.device_name == *root)?;
        mapping.ebs.as_ref()?.snapshot_id.as_deref()
    }

    /// Returns the snapshots that the EBS mappings name, in order.
    pub fn snapshot_ids(&self) -> Vec<String> {
        let ebs = self
            .block_device_mappings
            .iter()
            .filter_map(|m| m.ebs.as_ref());
        ebs.filter_map(|e| e.snapshot_id.clone()).collect()
    }
}

/// A permission to launch an image, apart from that of everybody (`Image::public`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchPermission {
    /// An account, by ID.
    User(String),
    /// An organization, by ARN.
    Organization(String),
    /// An OU, by ARN.
    OrganizationalUnit(String),
}

/// A line of an image's block device mapping: EBS, ephemeral (`virtual_name`) or suppressed
/// (`no_device`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDeviceMapping {
    /// The device name.
    pub device_name: String,
    /// The name of an ephemeral volume, such as `ephemeral0`.
    #[serde(default)]
    pub virtual_name: Option<String>,
    /// Whether the device is suppressed.
    #[serde(default)]
    pub no_device: bool,
    /// The EBS volume.
    #[serde(default)]
    pub ebs: Option<Ebs>,
}

impl BlockDeviceMapping {
    /// Returns a mapping to an EBS volume.
    pub fn ebs(device_name: &str, ebs: Ebs) -> Self {
        Self {
            device_name: device_name.to_owned(),
            ebs: Some(ebs),
            ..Self::default()
        }
    }

    /// Returns a mapping to an ephemeral volume.
    pub fn ephemeral(device_name: &str, virtual_name: &str) -> Self {
        Self {
            device_name: device_name.to_owned(),
            virtual_name: Some(virtual_name.to_owned()),
            ..Self::default()
        }
    }
}

/// The EBS half of a mapping. Sizes in GiB, throughput in MiB/s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ebs {
    /// The ID of the snapshot that the volume is made from.
    #[serde(default)]
    pub snapshot_id: Option<String>,
    /// The size in GiB.
    #[serde(default)]
    pub volume_size: Option<u32>,
    /// The volume type.
    #[serde(default)]
    pub volume_type: Option<String>,
    /// The IOPS.
    #[serde(default)]
    pub iops: Option<u32>,
    /// The throughput in MiB/s.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// Whether the volume is deleted when its instance terminates.
    #[serde(default)]
    pub delete_on_termination: Option<bool>,
    /// Whether the volume is encrypted; determined by the snapshot if there is one.
    #[serde(default)]
    pub encrypted: bool,
}

impl Ebs {
    /// Returns a volume made from a snapshot.
    pub fn snapshot(snapshot_id: &str) -> Self {
        Self {
            snapshot_id: Some(snapshot_id.to_owned()),
            ..Self::default()
        }
    }

    /// Sets the type `gp3` with these figures, deleted on termination.
    #[must_use]
    pub fn gp3(mut self, volume_size: u32, iops: u32, throughput: u32) -> Self {
        self.volume_type = Some("gp3".to_owned());
        self.volume_size = Some(volume_size);
        self.iops = Some(iops);
        self.throughput = Some(throughput);
        self.delete_on_termination = Some(true);
        self
    }
}

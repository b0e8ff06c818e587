//! The things that live in an account and Region, as the world file declares them and as tests read them back.
//!
//! Plain data only: no rule of AWS is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// An AMI. Built with [`Image::new`] for a world; read back with [`Sandbox::images`](crate::Sandbox::images).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub region: String,
    /// `ami-` and 8 or 17 hexadecimal digits.
    #[serde(rename = "id")]
    pub image_id: String,
    pub name: String,
    /// The owning account; a world file leaves it out.
    #[serde(default)]
    pub owner_id: String,
    #[serde(default)]
    pub description: Option<String>,
    /// `available`, `pending`, `failed`, …
    #[serde(default = "defaults::available")]
    pub state: String,
    /// Why the image is `failed`.
    #[serde(default)]
    pub state_reason: Option<String>,
    #[serde(skip, default = "defaults::epoch")]
    pub creation_date: SystemTime,
    #[serde(default = "defaults::x86_64")]
    pub architecture: String,
    #[serde(default = "defaults::hvm")]
    pub virtualization_type: String,
    #[serde(default = "defaults::root_device_name")]
    pub root_device_name: Option<String>,
    #[serde(default = "defaults::ebs")]
    pub root_device_type: String,
    #[serde(default)]
    pub ena_support: bool,
    #[serde(default)]
    pub sriov_net_support: Option<String>,
    #[serde(default)]
    pub boot_mode: Option<String>,
    #[serde(default)]
    pub tpm_support: Option<String>,
    #[serde(default)]
    pub imds_support: Option<String>,
    /// Base64, readable only through `DescribeImageAttribute`.
    #[serde(default)]
    pub uefi_data: Option<String>,
    #[serde(default)]
    pub kernel_id: Option<String>,
    #[serde(default)]
    pub ramdisk_id: Option<String>,
    /// `windows`, or nothing.
    #[serde(default)]
    pub platform: Option<String>,
    #[serde(default = "defaults::platform_details")]
    pub platform_details: String,
    #[serde(default = "defaults::usage_operation")]
    pub usage_operation: String,
    /// Marketplace product codes.
    #[serde(default)]
    pub product_codes: Vec<String>,
    #[serde(default)]
    pub deprecation_time: Option<String>,
    #[serde(default, rename = "mapping")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub launch_permissions: BTreeSet<LaunchPermission>,
    /// Launch permission `Group=all`.
    #[serde(default)]
    pub public: bool,
    #[serde(default)]
    pub source_image_id: Option<String>,
    #[serde(default)]
    pub source_image_region: Option<String>,
}

impl Image {
    /// An available x86_64 HVM image without mappings, owned by the account it is added to.
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
            block_device_mappings: Vec::new(),
            tags: BTreeMap::new(),
            launch_permissions: BTreeSet::new(),
            public: false,
            source_image_id: None,
            source_image_region: None,
        }
    }

    #[must_use]
    pub fn mapping(mut self, mapping: BlockDeviceMapping) -> Self {
        self.block_device_mappings.push(mapping);
        self
    }

    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Everything else: `Image::new(…).with(|image| image.ena_support = true)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The snapshots its EBS mappings name, in order.
    pub fn snapshot_ids(&self) -> Vec<String> {
        let ebs = self
            .block_device_mappings
            .iter()
            .filter_map(|m| m.ebs.as_ref());
        ebs.filter_map(|e| e.snapshot_id.clone()).collect()
    }
}

/// Who may launch an image, apart from everybody (`Image::public`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchPermission {
    User(String),
    Organization(String),
    OrganizationalUnit(String),
}

/// One line of an image's block device mapping: EBS, ephemeral (`virtual_name`) or suppressed (`no_device`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDeviceMapping {
    pub device_name: String,
    #[serde(default)]
    pub virtual_name: Option<String>,
    #[serde(default)]
    pub no_device: bool,
    #[serde(default)]
    pub ebs: Option<Ebs>,
}

impl BlockDeviceMapping {
    pub fn ebs(device_name: &str, ebs: Ebs) -> Self {
        Self {
            device_name: device_name.to_owned(),
            ebs: Some(ebs),
            ..Self::default()
        }
    }

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
    #[serde(default)]
    pub snapshot_id: Option<String>,
    #[serde(default)]
    pub volume_size: Option<u32>,
    #[serde(default)]
    pub volume_type: Option<String>,
    #[serde(default)]
    pub iops: Option<u32>,
    #[serde(default)]
    pub throughput: Option<u32>,
    #[serde(default)]
    pub delete_on_termination: Option<bool>,
    /// Follows the snapshot where there is one.
    #[serde(default)]
    pub encrypted: bool,
}

impl Ebs {
    pub fn snapshot(snapshot_id: &str) -> Self {
        Self {
            snapshot_id: Some(snapshot_id.to_owned()),
            ..Self::default()
        }
    }

    /// `gp3` with these figures, deleted on termination.
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

/// An EBS snapshot. Built with [`Snapshot::new`] for a world; read back with [`Sandbox::snapshots`](crate::Sandbox::snapshots).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub region: String,
    /// `snap-` and 8 or 17 hexadecimal digits.
    #[serde(rename = "id")]
    pub snapshot_id: String,
    /// GiB.
    #[serde(rename = "size")]
    pub volume_size: u32,
    /// The owning account; a world file leaves it out.
    #[serde(default)]
    pub owner_id: String,
    #[serde(default = "defaults::volume_id")]
    pub volume_id: String,
    #[serde(default)]
    pub description: String,
    /// `pending`, `completed`, `error`, `recoverable`, `recovering`.
    #[serde(default = "defaults::completed")]
    pub state: String,
    #[serde(default)]
    pub state_message: Option<String>,
    /// As DescribeSnapshots shows it: `37%`, or nothing.
    #[serde(default = "defaults::whole")]
    pub progress: String,
    #[serde(skip, default = "defaults::epoch")]
    pub start_time: SystemTime,
    #[serde(skip)]
    pub completion_time: Option<SystemTime>,
    #[serde(default)]
    pub encrypted: bool,
    /// Full key ARN; a world file may name a key ID or alias of the same account and Region.
    #[serde(default, rename = "key")]
    pub kms_key_arn: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Account IDs.
    #[serde(default)]
    pub create_volume_permissions: BTreeSet<String>,
    /// createVolumePermission `Group=all`.
    #[serde(default)]
    pub public: bool,
    /// `standard` or `archive`.
    #[serde(default = "defaults::standard")]
    pub storage_tier: String,
    /// `standard` or `time-based`, for copies.
    #[serde(default)]
    pub transfer_type: Option<String>,
    #[serde(default)]
    pub completion_duration_minutes: Option<u32>,
    /// The snapshot this one was copied from.
    #[serde(default)]
    pub source_snapshot_id: Option<String>,
    /// Product codes that follow the data: an AMI registered from it as root keeps `lineage_platform`.
    #[serde(default)]
    pub product_codes: Vec<String>,
    /// (`PlatformDetails`, `UsageOperation`) that an AMI registered on this root snapshot gets. Copies keep it.
    #[serde(default)]
    pub lineage_platform: Option<(String, String)>,
    /// MiB actually stored, for the duration of copies; the volume's size if absent.
    #[serde(default)]
    pub stored_mib: Option<u64>,
    /// Copies of this snapshot end in `error` at this percentage, with this message.
    #[serde(default)]
    pub copies_fail_at: Option<(u8, String)>,
    /// What `aws:ebs:id` holds in its encryption context: the volume's ID, or the snapshot's for a copy's result.
    #[serde(default)]
    pub encryption_context_id: Option<String>,
}

impl Snapshot {
    /// A completed, unencrypted snapshot of so many GiB, owned by the account it is added to.
    pub fn new(region: &str, snapshot_id: &str, volume_size: u32) -> Self {
        Self {
            region: region.to_owned(),
            snapshot_id: snapshot_id.to_owned(),
            volume_size,
            owner_id: String::new(),
            volume_id: defaults::volume_id(),
            description: String::new(),
            state: defaults::completed(),
            state_message: None,
            progress: defaults::whole(),
            start_time: SystemTime::UNIX_EPOCH,
            completion_time: None,
            encrypted: false,
            kms_key_arn: None,
            tags: BTreeMap::new(),
            create_volume_permissions: BTreeSet::new(),
            public: false,
            storage_tier: defaults::standard(),
            transfer_type: None,
            completion_duration_minutes: None,
            source_snapshot_id: None,
            product_codes: Vec::new(),
            lineage_platform: None,
            stored_mib: None,
            copies_fail_at: None,
            encryption_context_id: None,
        }
    }

    /// Encrypted under a key: ARN, or key ID or alias of the same account and Region (`alias/aws/ebs` included).
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.encrypted = true;
        self.kms_key_arn = Some(key.to_owned());
        self
    }

    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn shared_with(mut self, account: &str) -> Self {
        self.create_volume_permissions.insert(account.to_owned());
        self
    }

    #[must_use]
    pub fn archived(mut self) -> Self {
        "archive".clone_into(&mut self.storage_tier);
        self
    }

    /// Everything else: `Snapshot::new(…).with(|snapshot| snapshot.state = "error".into())`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A KMS grant, as ListGrants shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grant {
    pub grant_id: String,
    pub key_arn: String,
    pub name: Option<String>,
    pub grantee_principal: String,
    pub retiring_principal: Option<String>,
    pub operations: Vec<String>,
    pub encryption_context_equals: Option<BTreeMap<String, String>>,
    pub encryption_context_subset: Option<BTreeMap<String, String>>,
    pub issuing_account: String,
    #[serde(skip)]
    pub creation_date: SystemTime,
}

/// Defaults of a world file, named for serde.
mod defaults {
    use std::time::SystemTime;

    pub(super) fn available() -> String {
        "available".to_owned()
    }
    pub(super) fn completed() -> String {
        "completed".to_owned()
    }
    pub(super) fn whole() -> String {
        "100%".to_owned()
    }
    pub(super) fn standard() -> String {
        "standard".to_owned()
    }
    pub(super) fn epoch() -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    pub(super) fn x86_64() -> String {
        "x86_64".to_owned()
    }
    pub(super) fn hvm() -> String {
        "hvm".to_owned()
    }
    pub(super) fn ebs() -> String {
        "ebs".to_owned()
    }
    #[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
    pub(super) fn root_device_name() -> Option<String> {
        Some("/dev/xvda".to_owned())
    }
    pub(super) fn platform_details() -> String {
        "Linux/UNIX".to_owned()
    }
    pub(super) fn usage_operation() -> String {
        "RunInstances".to_owned()
    }
    pub(super) fn volume_id() -> String {
        "vol-0ffffffffffffffff".to_owned()
    }
}

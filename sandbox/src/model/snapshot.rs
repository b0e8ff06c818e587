//! Snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::defaults;

/// An EBS snapshot. Built with [`Snapshot::new`] for a world; read back with
/// [`Sandbox::snapshots`](crate::Sandbox::snapshots).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The Region.
    pub region: String,
    /// `snap-` and 8 or 17 hexadecimal digits.
    #[serde(rename = "id")]
    pub snapshot_id: String,
    /// The size of the volume in GiB.
    #[serde(rename = "size")]
    pub volume_size: u32,
    /// The ID of the owning account; a world file leaves it out.
    #[serde(default)]
    pub owner_id: String,
    /// The ID of the volume that the snapshot was made from.
    #[serde(default = "defaults::volume_id")]
    pub volume_id: String,
    /// The description.
    #[serde(default)]
    pub description: String,
    /// The state: `pending`, `completed`, `error`, `recoverable` or `recovering`.
    #[serde(default = "defaults::completed")]
    pub state: String,
    /// The message of a failed copy.
    #[serde(default)]
    pub state_message: Option<String>,
    /// The progress as DescribeSnapshots shows it: `37%`, or nothing.
    #[serde(default = "defaults::whole")]
    pub progress: String,
    /// The time of the start.
    #[serde(skip, default = "defaults::epoch")]
    pub start_time: SystemTime,
    /// The time of completion.
    #[serde(skip)]
    pub completion_time: Option<SystemTime>,
    /// Whether the snapshot is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// The ARN of the key. A world file may name a key ID or alias of the same account and Region.
    #[serde(default, rename = "key")]
    pub kms_key_arn: Option<String>,
    /// The tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The IDs of the accounts with createVolumePermission.
    #[serde(default)]
    pub create_volume_permissions: BTreeSet<String>,
    /// Whether everybody has createVolumePermission (`Group=all`).
    #[serde(default)]
    pub public: bool,
    /// The storage tier: `standard` or `archive`.
    #[serde(default = "defaults::standard")]
    pub storage_tier: String,
    /// The transfer type of a copy: `standard` or `time-based`.
    #[serde(default)]
    pub transfer_type: Option<String>,
    /// The duration promised by a time-based copy, in minutes.
    #[serde(default)]
    pub completion_duration_minutes: Option<u32>,
    /// The ID of the snapshot that this snapshot was copied from.
    #[serde(default)]
    pub source_snapshot_id: Option<String>,
    /// Product codes, which follow the data through copies and registrations.
    #[serde(default)]
    pub product_codes: Vec<String>,
    /// (`PlatformDetails`, `UsageOperation`) of an AMI registered on this root snapshot. Copies
    /// keep them.
    #[serde(default)]
    pub lineage_platform: Option<(String, String)>,
    /// The data stored, in MiB, which determines the duration of copies; the volume's size if
    /// absent.
    #[serde(default)]
    pub stored_mib: Option<u64>,
    /// The percentage at which copies of this snapshot end in `error`, and their message.
    #[serde(default)]
    pub copies_fail_at: Option<(u8, String)>,
    /// The value of `aws:ebs:id` in the encryption context: the volume's ID, or the snapshot's own
    /// ID for a copy.
    #[serde(default)]
    pub encryption_context_id: Option<String>,
}

impl Snapshot {
    /// Returns a completed, unencrypted snapshot of this many GiB, owned by the account it is added
    /// to.
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

    /// Encrypts the snapshot under a key: an ARN, or a key ID or alias of the same account and
    /// Region (`alias/aws/ebs` included).
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.encrypted = true;
        self.kms_key_arn = Some(key.to_owned());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds the account's createVolumePermission.
    #[must_use]
    pub fn shared_with(mut self, account: &str) -> Self {
        self.create_volume_permissions.insert(account.to_owned());
        self
    }

    /// Moves the snapshot to the archive tier.
    #[must_use]
    pub fn archived(mut self) -> Self {
        "archive".clone_into(&mut self.storage_tier);
        self
    }

    /// Changes anything else: `Snapshot::new(…).with(|s| s.state = "error".into())`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

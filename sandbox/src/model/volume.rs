//! Volumes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

/// An EBS volume that CreateVolume made; read back with
/// [`Sandbox::volumes`](crate::Sandbox::volumes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The ID of the volume.
    pub volume_id: String,
    /// The ID of the owning account.
    pub owner_id: String,
    /// The Region.
    pub region: String,
    /// The Availability Zone.
    pub availability_zone: String,
    /// The size in GiB.
    pub size: u32,
    /// The volume type: `gp2` or `gp3`.
    pub volume_type: String,
    /// The state: `available`, or `error` if the key of the volume could not be used.
    pub state: String,
    /// Whether the volume is encrypted.
    pub encrypted: bool,
    /// The ARN of the key, or the text given for a key that does not exist.
    pub kms_key_arn: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// The time of creation.
    #[serde(skip)]
    pub create_time: SystemTime,
}

//! Launch templates, as far as their image needs.

use serde::{Deserialize, Serialize};

/// A launch template's versions; read back with
/// [`Sandbox::launch_template`](crate::Sandbox::launch_template).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaunchTemplateVersions {
    /// The number of the default version.
    pub default_version: u64,
    /// The versions, the oldest first.
    pub versions: Vec<LaunchTemplateVersion>,
}

/// A version of a launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaunchTemplateVersion {
    /// The number, from 1.
    pub version: u64,
    /// The description.
    pub description: Option<String>,
    /// The number of the version that this version was made from.
    pub source_version: Option<u64>,
    /// The ID of the image.
    pub image_id: Option<String>,
    /// The instance type.
    pub instance_type: Option<String>,
    /// The block device mappings.
    pub mappings: Vec<LaunchTemplateMapping>,
}

/// A block device mapping of a launch template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchTemplateMapping {
    /// The device name.
    pub device_name: String,
    /// The ID of the snapshot that the volume is made from.
    #[serde(default)]
    pub snapshot_id: Option<String>,
    /// The key of the volume: ID, ARN or alias.
    #[serde(default)]
    pub kms_key_id: Option<String>,
}

impl LaunchTemplateMapping {
    /// Returns a mapping of a device that names neither snapshot nor key.
    pub fn new(device_name: &str) -> Self {
        Self {
            device_name: device_name.to_owned(),
            ..Self::default()
        }
    }

    /// Sets the snapshot.
    #[must_use]
    pub fn snapshot(mut self, id: &str) -> Self {
        self.snapshot_id = Some(id.to_owned());
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, id: &str) -> Self {
        self.kms_key_id = Some(id.to_owned());
        self
    }
}

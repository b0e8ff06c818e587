//! Instances, as far as launching them needs.

use std::collections::BTreeMap;

use serde::Serialize;

/// An instance; read back with [`Sandbox::instances`](crate::Sandbox::instances).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// The instance's ID.
    pub instance_id: String,
    /// The ID of the owning account.
    pub owner_id: String,
    /// The Region.
    pub region: String,
    /// The ID of the image.
    pub image_id: String,
    /// The instance type.
    pub instance_type: String,
    /// The state: `pending`, `running`, `shutting-down` or `terminated`.
    pub state: String,
    /// Code and message of the reason why the instance left `running`, or never reached it.
    pub state_reason: Option<(String, String)>,
    /// The ARN of the principal that launched the instance.
    pub launched_by: String,
    /// The client token of the launch.
    pub client_token: Option<String>,
    /// The ID of the subnet, if the launch named one.
    pub subnet_id: Option<String>,
    /// The ARN of the instance profile.
    pub profile_arn: Option<String>,
    /// The devices whose volumes stay when the instance is terminated.
    pub kept_volumes: Vec<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

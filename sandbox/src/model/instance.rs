//! Instances, as far as a launch goes.

use serde::Serialize;

/// An instance; read back with [`Sandbox::instances`](crate::Sandbox::instances).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    pub instance_id: String,
    pub owner_id: String,
    pub region: String,
    pub image_id: String,
    pub instance_type: String,
    /// `pending`, `running`, `shutting-down` or `terminated`.
    pub state: String,
    /// Code and message of why it left `running`, or never came there.
    pub state_reason: Option<(String, String)>,
    /// ARN of whoever launched it.
    pub launched_by: String,
}

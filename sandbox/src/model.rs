//! The resources of an account and Region, as the world file declares them and as tests read them
//! back.
//!
//! The types hold plain data; the rules of AWS are elsewhere.

mod defaults;
mod fast_restore;
mod image;
mod instance;
mod launch_template;
mod parameter;
mod settings;
mod snapshot;
mod volume;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

pub use fast_restore::FastRestore;
pub use image::{BlockDeviceMapping, Ebs, Image, LaunchPermission};
pub use instance::Instance;
pub use launch_template::{LaunchTemplateMapping, LaunchTemplateVersion, LaunchTemplateVersions};
pub use parameter::ParameterVersion;
pub use settings::Ec2Settings;
pub use snapshot::Snapshot;
pub use volume::Volume;

/// A KMS grant, as ListGrants shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grant {
    /// The grant's ID.
    pub grant_id: String,
    /// The ARN of the key.
    pub key_arn: String,
    /// The grant's name.
    pub name: Option<String>,
    /// The ARN of the principal that may use the key.
    pub grantee_principal: String,
    /// The ARN of the principal that may retire the grant.
    pub retiring_principal: Option<String>,
    /// The grant operations.
    pub operations: Vec<String>,
    /// The constraint on the exact encryption context.
    pub encryption_context_equals: Option<BTreeMap<String, String>>,
    /// The constraint on a part of the encryption context.
    pub encryption_context_subset: Option<BTreeMap<String, String>>,
    /// The ARN of the account that created the grant.
    pub issuing_account: String,
    /// The time of creation.
    #[serde(skip)]
    pub creation_date: SystemTime,
}

//! The resources of an account and Region, as the world file declares them and as tests read them
//! back.
//!
//! The types hold plain data; the rules of AWS are elsewhere.

mod defaults;
mod image;
mod instance;
mod settings;
mod snapshot;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

pub use image::{BlockDeviceMapping, Ebs, Image, LaunchPermission};
pub use instance::Instance;
pub use settings::Ec2Settings;
pub use snapshot::Snapshot;

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

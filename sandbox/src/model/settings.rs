//! An account's settings for all of EC2 in one Region.

use serde::{Deserialize, Serialize};

/// Allowed AMIs and the two blocks of public access. The default blocks nothing, as in an account
/// that has set nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ec2Settings {
    /// The state of Allowed AMIs: `disabled`, `audit-mode` or `enabled`.
    pub allowed_images: String,
    /// The criteria of Allowed AMIs; an image must meet one of them. Each is a list of image
    /// providers: account IDs, `amazon`, `aws-marketplace`, `aws-backup-vault` or `none`.
    pub image_providers: Vec<Vec<String>>,
    /// Block public access for AMIs: `unblocked` or `block-new-sharing`.
    pub image_block_public_access: String,
    /// Block public access for snapshots: `unblocked`, `block-new-sharing` or `block-all-sharing`.
    pub snapshot_block_public_access: String,
}

impl Default for Ec2Settings {
    fn default() -> Self {
        Self {
            allowed_images: "disabled".to_owned(),
            image_providers: Vec::new(),
            image_block_public_access: "unblocked".to_owned(),
            snapshot_block_public_access: "unblocked".to_owned(),
        }
    }
}

impl Ec2Settings {
    /// Enables Allowed AMIs, for these providers.
    #[must_use]
    pub fn allowing(mut self, providers: &[&str]) -> Self {
        let providers = providers.iter().map(|name| (*name).to_owned());
        self.image_providers.push(providers.collect());
        "enabled".clone_into(&mut self.allowed_images);
        self
    }

    /// Changes anything else: `settings.with(|s| s.allowed_images = "audit-mode".into())`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

//! An account's settings of EC2 in a Region, and what they hide and block.
//!
//! Source: EC2 guide, Allowed AMIs; EBS guide, block public access for snapshots; model.

use super::Aws;
use crate::model::{Ec2Settings, Image, Snapshot};

impl Aws {
    pub(crate) fn ec2_settings(&self, account: &str, region: &str) -> Ec2Settings {
        let found = self.settings(account, region);
        found.cloned().unwrap_or_default()
    }

    fn settings(&self, account: &str, region: &str) -> Option<&Ec2Settings> {
        self.accounts.get(account)?.ec2_settings.get(region)
    }

    /// Changes the settings in any way, even one that AWS would not allow.
    pub fn change_ec2_settings(
        &mut self,
        account: &str,
        region: &str,
        change: impl FnOnce(&mut Ec2Settings),
    ) -> bool {
        let live = self.accounts.get_mut(account);
        live.map(|live| change(live.ec2_settings.entry(region.to_owned()).or_default()))
            .is_some()
    }

    /// Returns whether the image meets the account's criteria, if there are any. The account's own
    /// images always do.
    pub(crate) fn image_allowed(&self, image: &Image, account: &str) -> Option<bool> {
        let settings = self.settings(account, &image.region)?;
        if settings.allowed_images == "disabled" {
            return None;
        }
        // The sandbox has no images owned by AWS or in AWS Backup.
        let provides = |provider: &String| match provider.as_str() {
            "aws-marketplace" => !image.product_codes.is_empty(),
            id => id == image.owner_id,
        };
        let mut criteria = settings.image_providers.iter();
        Some(image.owner_id == account || criteria.any(|any| any.iter().any(provides)))
    }

    /// Returns whether Allowed AMIs keeps the account from seeing and using the image.
    pub(crate) fn image_hidden(&self, image: &Image, account: &str) -> bool {
        let settings = self.settings(account, &image.region);
        settings.is_some_and(|settings| settings.allowed_images == "enabled")
            && self.image_allowed(image, account) == Some(false)
    }

    /// Returns whether the snapshot is public, and its owner's account does not block that.
    pub(crate) fn is_public(&self, snapshot: &Snapshot) -> bool {
        let settings = self.settings(&snapshot.owner_id, &snapshot.region);
        let closed = settings
            .is_some_and(|settings| settings.snapshot_block_public_access == "block-all-sharing");
        snapshot.public && !closed
    }
}

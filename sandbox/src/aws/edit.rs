//! Changes that tests make to the live world, as another principal or a failure would. Methods
//! return whether there was anything to change. `Sandbox::edit` breaks the copies whose source a
//! change takes away.

use std::time::SystemTime;

use super::{Aws, build};
use crate::iam::Kind;
use crate::model::{Image, Snapshot};
use crate::wire::time;
use crate::world::{Facts, Limits, WorldError};

impl Aws {
    /// Returns the sandbox's time.
    pub fn now(&self) -> SystemTime {
        self.now
    }

    /// Returns the snapshot with its current progress.
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        self.snapshots
            .get(id)
            .map(|snapshot| self.with_progress(snapshot))
    }

    /// Returns the image.
    pub fn image(&self, id: &str) -> Option<Image> {
        self.images.get(id).map(|image| image.view.clone())
    }

    /// Adds a snapshot to an account. The error names the key at fault.
    pub fn add_snapshot(&mut self, account: &str, snapshot: Snapshot) -> Result<(), WorldError> {
        build::add_snapshot(self, account, snapshot, "snapshot")
    }

    /// Adds an image to an account. The error names the key at fault.
    pub fn add_image(&mut self, account: &str, image: Image) -> Result<(), WorldError> {
        build::add_image(self, account, image, "image")
    }

    /// Sets the time of the image's creation.
    pub fn set_image_created(&mut self, id: &str, at: SystemTime) -> bool {
        self.change_image(id, |image| image.creation_date = at)
    }

    /// Sets the time of the image's deprecation, which may be in the past.
    pub fn set_image_deprecated(&mut self, id: &str, at: SystemTime) -> bool {
        self.change_image(id, |image| image.deprecation_time = Some(time::iso(at)))
    }

    /// Adds the account's createVolumePermission.
    pub fn share_snapshot(&mut self, id: &str, account: &str) -> bool {
        self.change_snapshot(id, |s| {
            s.create_volume_permissions.insert(account.to_owned());
        })
    }

    /// Takes the account's createVolumePermission away.
    pub fn unshare_snapshot(&mut self, id: &str, account: &str) -> bool {
        self.change_snapshot(id, |s| {
            s.create_volume_permissions.remove(account);
        })
    }

    /// Moves the snapshot to the archive tier.
    pub fn archive_snapshot(&mut self, id: &str) -> bool {
        self.change_snapshot(id, |s| "archive".clone_into(&mut s.storage_tier))
    }

    /// Returns the snapshots whose copy is under way, including snapshots deleted meanwhile.
    pub fn pending_copies(&self) -> Vec<String> {
        self.copying.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Completes a copy now.
    pub fn complete_copy(&mut self, snapshot_id: &str) -> bool {
        let now = self.now;
        let known = self.copying.change(snapshot_id, |copy| {
            copy.fails = None;
            copy.takes = now.duration_since(copy.started).unwrap_or_default();
        });
        self.settle_copies(now);
        known
    }

    /// Ends a copy in `error` now.
    pub fn fail_copy(&mut self, snapshot_id: &str, message: &str) -> bool {
        let now = self.now;
        let failed = Some((now, message.to_owned()));
        let known = self.copying.change(snapshot_id, |copy| copy.fails = failed);
        self.settle_copies(now);
        known
    }

    /// Ends a copy in `error` once it reaches this percentage.
    pub fn fail_copy_at(&mut self, snapshot_id: &str, percent: u8, message: &str) -> bool {
        let now = self.now;
        let known = self.copying.change(snapshot_id, |copy| {
            copy.fails = Some((copy.moment_of(percent).max(now), message.to_owned()));
        });
        self.settle_copies(now);
        known
    }

    /// Sets the state of a key: `Enabled`, `Disabled` or `PendingDeletion`.
    pub fn set_key_state(&mut self, key_arn: &str, state: &str) -> bool {
        let key = self.keys.get_mut(key_arn);
        key.map(|key| state.clone_into(&mut key.state)).is_some()
    }

    /// Disables a key.
    pub fn disable_key(&mut self, key_arn: &str) -> bool {
        self.set_key_state(key_arn, "Disabled")
    }

    /// Replaces the key policy at once, whatever the world's `policy_delay`.
    pub fn set_key_policy(&mut self, key_arn: &str, json: &str) -> Result<bool, WorldError> {
        let policy = build::policy(json, Kind::Resource, "policy")?;
        let Some(key) = self.keys.get_mut(key_arn) else {
            return Ok(false);
        };
        key.policy = policy;
        json.clone_into(&mut key.policy_text);
        self.late_policies.retain(|(_, arn, _)| arn != key_arn);
        Ok(true)
    }

    /// Deletes a role or user; its sessions fail from now on.
    pub fn drop_principal(&mut self, arn: &str) -> bool {
        self.principals.remove(arn).is_some()
    }

    /// Replaces the identity policies of a role or user.
    pub fn set_policies(&mut self, arn: &str, policies: &[&str]) -> Result<bool, WorldError> {
        let parsed = build::policies(policies, "policies")?;
        let Some(principal) = self.principals.get_mut(arn) else {
            return Ok(false);
        };
        principal.policy_names = build::policy_names(policies.len());
        principal.policies = parsed;
        Ok(true)
    }

    /// Ends a session, or an access key, by expiry.
    pub fn expire_credentials(&mut self, access_key_id: &str) -> bool {
        let now = self.now;
        let credential = self.credentials.get_mut(access_key_id);
        credential
            .map(|credential| credential.expires = Some(now))
            .is_some()
    }

    /// Expires all temporary credentials now.
    pub fn expire_sessions(&mut self) {
        let now = self.now;
        for credential in self.credentials.values_mut() {
            if credential.expires.is_some() {
                credential.expires = Some(now);
            }
        }
    }

    /// Disables an opt-in Region for an account.
    pub fn disable_region(&mut self, account: &str, region: &str) -> bool {
        let account = self.accounts.get_mut(account);
        account.is_some_and(|account| account.disabled_regions.insert(region.to_owned()))
    }

    /// Enables a Region for an account.
    pub fn enable_region(&mut self, account: &str, region: &str) -> bool {
        let account = self.accounts.get_mut(account);
        account.is_some_and(|account| account.disabled_regions.remove(region))
    }

    /// Replaces the limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.rules.limits = limits;
    }

    /// Replaces the undocumented habits of AWS.
    pub fn set_facts(&mut self, facts: Facts) {
        self.rules.facts = facts;
    }

    /// Sets the speed of copies that start from now on.
    pub fn set_copy_mib_per_second(&mut self, rate: f64) {
        self.rules.copy_mib_per_second = rate;
    }

    /// Returns the ARN of `aws/ebs` in this account and Region.
    pub fn aws_ebs_key(&mut self, account: &str, region: &str) -> String {
        build::managed_key(self, account, region)
    }
}

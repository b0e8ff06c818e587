//! Keys that calls create, and schedule for deletion.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{Aws, build, key_arn};
use crate::world::Key;

impl Aws {
    /// Creates an enabled symmetric key and returns its ARN. Without a policy it has the default
    /// one.
    pub(crate) fn create_key(
        &mut self,
        account: &str,
        region: &str,
        description: &str,
        policy: Option<&str>,
        tags: BTreeMap<String, String>,
    ) -> String {
        let mut key = Key::new(region, &self.new_key_id());
        description.clone_into(&mut key.description);
        key.policy = policy.map(str::to_owned);
        let arn = key_arn(region, account, &key.id);
        // The ID is new, and the service has parsed the policy.
        let _ = build::add_key(self, account, &key, "key");
        if let Some(live) = self.keys.get_mut(&arn) {
            live.tags = tags;
        }
        arn
    }

    /// Makes a key unusable until its deletion. The sandbox never deletes it.
    pub(crate) fn schedule_key_deletion(&mut self, key_arn: &str, at: SystemTime) {
        if let Some(key) = self.keys.get_mut(key_arn) {
            "PendingDeletion".clone_into(&mut key.state);
            key.deleted_at = Some(at);
        }
    }
}

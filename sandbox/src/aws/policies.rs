//! Key policies that were put: GetKeyPolicy shows them at once, and they are in force after a
//! delay.
//!
//! Source: KMS guide, eventual consistency.

use std::sync::Arc;
use std::time::SystemTime;

use super::Aws;
use crate::iam::Policy;

impl Aws {
    /// Puts a key policy, as PutKeyPolicy does.
    pub(crate) fn put_key_policy(&mut self, key_arn: &str, text: &str, policy: Arc<Policy>) {
        let delay = self.rules.scaled(self.rules.policy_delay);
        let Some(key) = self.keys.get_mut(key_arn) else {
            return;
        };
        text.clone_into(&mut key.policy_text);
        if delay.is_zero() {
            key.policy = policy;
            return;
        }
        let entry = (self.now + delay, key_arn.to_owned(), policy);
        self.late_policies.push_back(entry);
    }

    /// Returns the time at which the next policy is in force. All delays are equal, so the order is
    /// that of the calls.
    pub(crate) fn next_policy(&self) -> Option<SystemTime> {
        self.late_policies.front().map(|(at, _, _)| *at)
    }

    pub(crate) fn put_policies_in_force(&mut self) {
        while self.next_policy().is_some_and(|at| at <= self.now) {
            let Some((_, arn, policy)) = self.late_policies.pop_front() else {
                return;
            };
            if let Some(key) = self.keys.get_mut(&arn) {
                key.policy = policy;
            }
        }
    }
}

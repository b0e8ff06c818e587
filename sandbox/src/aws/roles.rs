//! Roles by name, and the roles that calls create.

use std::sync::Arc;

use super::{Aws, LivePrincipal, build};
use crate::iam::Policy;
use crate::world::Role;

impl Aws {
    /// Returns the ARN of an IAM resource of this account.
    pub(crate) fn iam_arn(&self, account: &str, resource: &str) -> String {
        let partition = self.partition_of(account).name;
        format!("arn:{partition}:iam::{account}:{resource}")
    }

    /// Returns the ARN of the role of this name, whatever its path. Names are unique in an account,
    /// whatever their case.
    pub(crate) fn role_named(&self, account: &str, name: &str) -> Option<&str> {
        let within = self.iam_arn(account, "role/");
        let all = self.principals.keys().map(String::as_str);
        let mut own = all.filter(|arn| arn.starts_with(&within));
        own.find(|arn| {
            let last = arn.rsplit('/').next();
            last.is_some_and(|last| last.eq_ignore_ascii_case(name))
        })
    }

    /// Creates a role without policies, which KMS and IAM take a while to know as a principal.
    pub(crate) fn create_role(
        &mut self,
        account: &str,
        name: &str,
        trust: &str,
        make: impl FnOnce(&mut LivePrincipal),
    ) -> String {
        let role = Role::new(name).trust_policy(trust);
        let arn = self.iam_arn(account, &format!("role/{name}"));
        // The service has parsed the trust policy, and found the name to be free.
        let _ = build::add_role(self, account, &role, "role");
        let known = self.now + self.rules.scaled(self.rules.principal_delay);
        if let Some(live) = self.principals.get_mut(&arn) {
            live.known_to_kms_at = known;
            make(live);
        }
        arn
    }

    /// Puts a policy of a role, in place of another of this name.
    pub(crate) fn put_role_policy(&mut self, arn: &str, name: &str, policy: Policy) {
        let Some(role) = self.principals.get_mut(arn) else {
            return;
        };
        let policies = Arc::make_mut(&mut role.policies);
        match role.policy_names.iter().position(|own| own == name) {
            Some(place) => policies[place] = policy,
            None => {
                policies.push(policy);
                role.policy_names.push(name.to_owned());
            }
        }
    }

    /// Deletes a policy of a role; returns whether there was one.
    pub(crate) fn delete_role_policy(&mut self, arn: &str, name: &str) -> bool {
        let Some(role) = self.principals.get_mut(arn) else {
            return false;
        };
        let Some(place) = role.policy_names.iter().position(|own| own == name) else {
            return false;
        };
        Arc::make_mut(&mut role.policies).remove(place);
        role.policy_names.remove(place);
        true
    }

    /// Creates a service-linked role, which KMS takes a while to know
    /// (hashicorp/terraform-provider-aws#7646).
    pub(crate) fn link_role(
        &mut self,
        account: &str,
        service: &str,
        name: &str,
        description: Option<&str>,
    ) -> String {
        let role = Role::service_linked(service, name);
        let arn = self.iam_arn(account, &format!("role/{}", role.name));
        // A service-linked role has no policy of the caller's that could be wrong, and its name was
        // found to be free.
        let _ = build::add_role(self, account, &role, "role");
        let known = self.now + self.rules.scaled(self.rules.principal_delay);
        if let Some(live) = self.principals.get_mut(&arn) {
            live.description = description.map(str::to_owned);
            live.known_to_kms_at = known;
        }
        arn
    }
}

/// Returns the account in an ARN; nothing where the ARN has none.
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(3)
}

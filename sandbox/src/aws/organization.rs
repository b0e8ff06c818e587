//! The live organization: its members, their places, and the names of its parts.
//!
//! Source: Service Authorization Reference, AWS Organizations (ARNs); model (patterns); IAM guide,
//! global condition keys (`aws:PrincipalOrgPaths`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Aws, Partition, build, is_service_linked};
use crate::iam::Policy;
use crate::world::WorldError;

#[derive(Clone, Debug)]
pub(crate) struct LiveOrganization {
    pub id: String,
    /// The partition of all members.
    pub partition: &'static Partition,
    pub management_account: String,
    pub root: String,
    /// OUs by ID.
    pub units: BTreeMap<String, LiveUnit>,
    pub delegated_administrators: BTreeSet<String>,
    pub empty_pages: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct LiveUnit {
    pub name: String,
    /// The root or the OU that holds this OU.
    pub parent: String,
}

impl LiveOrganization {
    pub(crate) fn arn(&self) -> String {
        let (partition, account) = (self.partition.name, &self.management_account);
        format!(
            "arn:{partition}:organizations::{account}:organization/{}",
            self.id
        )
    }

    /// Returns the ARN of a part; `kind` is `account`, `ou` or `root`.
    pub(crate) fn arn_of(&self, kind: &str, id: &str) -> String {
        let (partition, account) = (self.partition.name, &self.management_account);
        format!(
            "arn:{partition}:organizations::{account}:{kind}/{}/{id}",
            self.id
        )
    }

    /// Returns the ARN of the root or an OU.
    pub(crate) fn arn_of_parent(&self, id: &str) -> String {
        self.arn_of(if id.starts_with("r-") { "root" } else { "ou" }, id)
    }

    pub(crate) fn has_parent(&self, id: &str) -> bool {
        id == self.root || self.units.contains_key(id)
    }

    /// Returns a root or OU and everything above it, the root last.
    pub(crate) fn up_from<'a>(&'a self, parent: &'a str) -> Vec<&'a str> {
        let mut line = vec![parent];
        while let Some(unit) = line.last().and_then(|last| self.units.get(*last)) {
            line.push(&unit.parent);
        }
        line
    }

    /// Returns the path of a root or OU: `o-…/r-…/ou-…/`.
    pub(crate) fn path(&self, parent: &str) -> String {
        let mut path = format!("{}/", self.id);
        for step in self.up_from(parent).into_iter().rev() {
            path.push_str(step);
            path.push('/');
        }
        path
    }

    pub(crate) fn may_list(&self, account: &str) -> bool {
        account == self.management_account || self.delegated_administrators.contains(account)
    }
}

impl Aws {
    /// Returns the declared organization, if this account is a member.
    pub(crate) fn organization_with(&self, account: &str) -> Option<&LiveOrganization> {
        let own = self.organization_of(account)?;
        self.organization.as_ref().filter(|known| known.id == own)
    }

    /// The service control policies that limit this role or user, if any do: neither the management
    /// account nor service-linked roles are limited (Organizations guide, SCPs).
    pub(crate) fn service_control_policies_of(
        &self,
        identity: &str,
        account: &str,
    ) -> Option<&[Policy]> {
        let organization = self.organization_with(account);
        let manages = organization.is_some_and(|known| known.management_account == account);
        if manages || is_service_linked(identity) {
            return None;
        }
        let policies = self.accounts.get(account)?;
        policies
            .service_control_policies
            .as_deref()
            .map(Vec::as_slice)
    }

    /// Returns the value of `aws:PrincipalOrgPaths` for principals of this account.
    pub(crate) fn organization_path_of(&self, account: &str) -> Option<String> {
        let parent = self.accounts.get(account)?.parent.as_deref()?;
        Some(self.organization_with(account)?.path(parent))
    }

    /// Returns whether the account is in the OU of this ARN, or in one below it.
    pub(crate) fn is_in_unit(&self, account: &str, arn: &str) -> bool {
        let parent = self.accounts.get(account).and_then(|a| a.parent.as_deref());
        let organization = self.organization_with(account);
        let (Some(parent), Some(organization)) = (parent, organization) else {
            return false;
        };
        let above = organization.up_from(parent).into_iter();
        above
            .filter(|id| id.starts_with("ou-"))
            .any(|id| organization.arn_of("ou", id) == arn)
    }

    /// Returns whether the account is a member of the organization of this ARN.
    pub(crate) fn is_in_organization(&self, account: &str, arn: &str) -> bool {
        match self.organization_with(account) {
            Some(organization) => organization.arn() == arn,
            // The management account is unknown for an organization that only its ID is known of.
            None => self
                .organization_of(account)
                .is_some_and(|own| arn.rsplit('/').next() == Some(own)),
        }
    }

    /// Moves a member to the root or another OU, as MoveAccount would.
    pub fn move_account(&mut self, account: &str, parent: &str) -> bool {
        let organization = self.organization_with(account);
        if !organization.is_some_and(|organization| organization.has_parent(parent)) {
            return false;
        }
        if let Some(live) = self.accounts.get_mut(account) {
            live.parent = Some(parent.to_owned());
        }
        let path = self.organization_path_of(account);
        for credential in self.credentials.values_mut() {
            if credential.caller.account() == account {
                credential.caller.principal.org_path.clone_from(&path);
            }
        }
        true
    }

    /// Replaces all service control policies that limit a member account, inherited ones included.
    /// None given stands for FullAWSAccess.
    pub fn set_service_control_policies(
        &mut self,
        account: &str,
        policies: &[&str],
    ) -> Result<bool, WorldError> {
        let parsed = build::service_control_policies(policies, "service_control_policies")?;
        let member = self.accounts.get_mut(account);
        let Some(live) = member.filter(|live| live.organization.is_some()) else {
            return Ok(false);
        };
        live.service_control_policies = parsed;
        Ok(true)
    }

    /// Closes the account, as CloseAccount would: its callers are refused, and nobody assumes its
    /// roles.
    pub fn suspend_account(&mut self, account: &str) -> bool {
        self.set_account_state(account, "SUSPENDED")
    }

    /// Sets the state that ListAccounts shows: `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE` and the
    /// like.
    pub fn set_account_state(&mut self, account: &str, state: &str) -> bool {
        let live = self.accounts.get_mut(account);
        live.map(|live| state.clone_into(&mut live.state)).is_some()
    }
}

/// Returns whether the ID is `prefix` and between `least` and 32 lower-case letters or digits.
fn is_id(id: &str, prefix: &str, least: usize) -> bool {
    let rest = id.strip_prefix(prefix);
    rest.is_some_and(|rest| {
        (least..=32).contains(&rest.len())
            && rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

pub(crate) fn is_organization_id(id: &str) -> bool {
    is_id(id, "o-", 10)
}

pub(crate) fn is_root_id(id: &str) -> bool {
    is_id(id, "r-", 4)
}

pub(crate) fn is_unit_id(id: &str) -> bool {
    let parts = id.strip_prefix("ou-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(root, own)| is_id(root, "", 4) && is_id(own, "", 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organizations_id_has_the_models_form() {
        assert!(is_organization_id("o-0123456789") && is_root_id("r-ab12"));
        assert!(is_unit_id("ou-ab12-12345678"));
        for bad in ["o-short", "o-0123456789ABC", "0123456789abc", "o-"] {
            assert!(!is_organization_id(bad), "{bad}");
        }
        for bad in ["ou-ab12", "ou-ab1-12345678", "ou-ab12-1234567", "r-ab12"] {
            assert!(!is_unit_id(bad), "{bad}");
        }
    }
}

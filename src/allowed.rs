//! Settings that bound the accounts, organizations and lasting permissions of every request.
//!
//! The decisions here are pure. The same rules hold when a request is accepted
//! (`handler/permit.rs`) and right before a source is opened. Closing is never refused: `Unshare`,
//! the Delete of a custom resource and accounts taken off do not come here.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::ids::{AccountId, AudienceArn, OrganizationId};
use crate::kms::Arn;
use crate::request::{Audience, LaunchPermissions, Mode, Request};

/// The setting with the accounts that may be targets.
pub const ACCOUNTS: &str = "AMIFERRY_ALLOWED_ACCOUNTS";
/// The setting with the organization whose accounts may be targets. The organization and its units
/// may be an audience as well.
pub const ORGANIZATION: &str = "AMIFERRY_ALLOWED_ORGANIZATION";
/// The setting that says whether a request may leave permissions behind.
pub const SHARE: &str = "AMIFERRY_ALLOW_SHARE";

/// The number of accounts that one refusal names; the others are counted.
const SHOWN: usize = 3;

/// The three settings, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    accounts: Option<BTreeSet<AccountId>>,
    organization: Option<OrganizationId>,
    share: bool,
}

impl Allowed {
    /// Reads the settings from their texts; a blank text counts as absent.
    pub fn parse(
        accounts: Option<&str>,
        organization: Option<&str>,
        share: Option<&str>,
    ) -> Result<Self, Error> {
        let accounts = given(accounts).map(parse_accounts).transpose()?;
        let organization = given(organization).map(|text| {
            OrganizationId::parse(text).map_err(|e| Error::invalid(ORGANIZATION, e.to_string()))
        });
        let share = match given(share) {
            None | Some("false" | "False") => false,
            Some("true" | "True") => true,
            Some(_) => return Err(Error::invalid(SHARE, "must be true or false")),
        };
        Ok(Self {
            accounts,
            organization: organization.transpose()?,
            share,
        })
    }

    /// Returns the organization of the settings.
    pub fn organization(&self) -> Option<&OrganizationId> {
        self.organization.as_ref()
    }

    /// Checks everything in a request that can be decided without a call.
    ///
    /// Accounts of [`Allowed::unlisted`] are left to AWS Organizations and IAM, and units of an
    /// audience to AWS Organizations.
    pub fn check(&self, request: &Request) -> Result<(), Error> {
        if request.sharing.unshare {
            return Ok(());
        }
        if let Some(what) = lasts(request) {
            self.check_share(what)?;
        }
        self.check_accounts(request.targets.iter().map(|target| &target.account))?;
        if let Some(permissions) = permissions_of(request) {
            self.check_permissions(permissions)?;
        }
        match &request.audience {
            Some(audience) => self.check_named(audience),
            None => Ok(()),
        }
    }

    /// Refuses a request that leaves permissions behind, unless the settings allow and bound it.
    /// `what` names the lasting part in the refusal.
    pub fn check_share(&self, what: &str) -> Result<(), Error> {
        if !self.share {
            let problem = format!(
                "is not true, so {what} is refused; set the template parameter AllowShare to true, \
                 and AllowedAccountIds or OrganizationId to those that may be shared with"
            );
            return Err(Error::invalid(SHARE, problem));
        }
        if self.accounts.is_none() && self.organization.is_none() {
            let problem = format!(
                "is not set, and neither is {ORGANIZATION}, so {what} is refused: sharing needs a \
                 list of those that may be shared with; set the template parameter \
                 AllowedAccountIds or OrganizationId"
            );
            return Err(Error::invalid(ACCOUNTS, problem));
        }
        Ok(())
    }

    /// Refuses launch permissions of copies, unless the settings allow them. Accounts that only the
    /// organization could admit pass, as in [`Allowed::check_accounts`].
    pub fn check_permissions(&self, permissions: &LaunchPermissions) -> Result<(), Error> {
        self.check_share(PERMISSIONS)?;
        self.check_accounts(permissions.account_ids.iter())?;
        self.check_audience(permissions.arns.iter().map(AudienceArn::as_str))
    }

    /// Refuses accounts that no setting can admit. Accounts that only the organization could admit
    /// pass: [`Allowed::unlisted`] returns them.
    pub fn check_accounts<'a>(
        &self,
        accounts: impl Iterator<Item = &'a AccountId>,
    ) -> Result<(), Error> {
        if self.organization.is_some() {
            return Ok(());
        }
        let outside = self.unlisted(accounts);
        if outside.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "does not list {}, so nothing may be given to it; add it to the template parameter \
             AllowedAccountIds, or leave it out of the request",
            shown(&outside)
        );
        Err(Error::invalid(ACCOUNTS, problem))
    }

    /// Returns the accounts that the list of accounts does not admit; none if no setting bounds the
    /// targets.
    pub fn unlisted<'a>(
        &self,
        accounts: impl Iterator<Item = &'a AccountId>,
    ) -> BTreeSet<AccountId> {
        if self.accounts.is_none() && self.organization.is_none() {
            return BTreeSet::new();
        }
        let listed =
            |account: &AccountId| self.accounts.as_ref().is_some_and(|l| l.contains(account));
        accounts.filter(|a| !listed(a)).cloned().collect()
    }

    /// Refuses an audience outside of the organization. `arns` are the ARNs that launch permissions
    /// and key policies take.
    pub fn check_audience<'a>(&self, arns: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        for arn in arns {
            // arn:aws:organizations::<management account>:organization/o-…, or :ou/o-…/ou-…
            let resource = Arn::parse(arn).map_or("", |arn| arn.resource);
            let mut parts = resource.split('/');
            let id = match parts.next() {
                Some("organization" | "ou") => parts.next(),
                _ => None,
            };
            self.check_organization(id.unwrap_or("an unknown organization"), "the audience")?;
        }
        Ok(())
    }

    /// Refuses `outside`, the accounts that AWS Organizations does not list as active in the
    /// organization.
    pub fn check_outside(&self, outside: &BTreeSet<AccountId>) -> Result<(), Error> {
        let Some(organization) = self.organization.as_ref().filter(|_| !outside.is_empty()) else {
            return Ok(());
        };
        let problem = format!(
            "is {organization}, of which {} is no active account, so nothing may be given to it; \
             add it to the template parameter AllowedAccountIds, or leave it out of the request",
            shown(outside)
        );
        Err(Error::invalid(ORGANIZATION, problem))
    }

    /// Returns the refusal of a lasting permission for accounts whose organization is unknown;
    /// `why` gives the reason.
    pub fn unknown(&self, accounts: &BTreeSet<AccountId>, why: &str) -> Error {
        let problem = format!(
            "cannot be checked for {} ({why}), and sharing assumes no role that IAM could check; \
             list it in the template parameter AllowedAccountIds, or allow the function \
             organizations:ListAccounts in a delegated administrator account",
            shown(accounts)
        );
        Error::invalid(ORGANIZATION, problem)
    }

    /// Refuses the units of an audience if they are in another organization.
    pub fn check_units(&self, organization: &str) -> Result<(), Error> {
        self.check_organization(organization, "OrganizationalUnitIds")
    }

    fn check_named(&self, audience: &Audience) -> Result<(), Error> {
        match &audience.organization {
            Some(named) => self.check_organization(named.as_str(), "OrganizationId"),
            // The ARN of a unit does not prove which organization it is in.
            None if self.organization.is_some() => Ok(()),
            None => self.check_organization("an organization", "OrganizationalUnitIds"),
        }
    }

    fn check_organization(&self, id: &str, what: &str) -> Result<(), Error> {
        match (&self.organization, &self.accounts) {
            (Some(allowed), _) if allowed.as_str() == id => Ok(()),
            (None, None) => Ok(()),
            (Some(allowed), _) => {
                let problem = format!(
                    "is {allowed}, but {what} names {id}; set the template parameter \
                     OrganizationId to the organization that may be given images, or leave {what} \
                     out of the request"
                );
                Err(Error::invalid(ORGANIZATION, problem))
            }
            (None, Some(_)) => {
                let problem = format!(
                    "is not set, and {ACCOUNTS} bounds the targets, so {what} ({id}) is refused; \
                     set the template parameter OrganizationId, or name accounts in Targets"
                );
                Err(Error::invalid(ORGANIZATION, problem))
            }
        }
    }
}

/// The launch permissions of copies, as a request names them.
const PERMISSIONS: &str = "Publish.LaunchPermissions";

/// Returns the part of the request that leaves permissions behind.
pub fn lasts(request: &Request) -> Option<&'static str> {
    match request.mode {
        Mode::Share => Some("Mode: Share"),
        Mode::Copy if !request.revoke_after_copy => Some("RevokeAfterCopy: false"),
        Mode::Copy => permissions_of(request).map(|_| PERMISSIONS),
    }
}

fn permissions_of(request: &Request) -> Option<&LaunchPermissions> {
    request.publish.as_ref()?.launch_permissions.as_ref()
}

/// Returns the accounts that the request gives anything: its targets, and those that may launch
/// from the copies.
pub fn given_to(request: &Request) -> impl Iterator<Item = &AccountId> {
    let targets = request.targets.iter().map(|target| &target.account);
    let launching = permissions_of(request).into_iter();
    targets.chain(launching.flat_map(|permissions| &permissions.account_ids))
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn parse_accounts(joined: &str) -> Result<BTreeSet<AccountId>, Error> {
    let accounts = joined.split(',').map(|item| {
        AccountId::parse(item.trim()).map_err(|e| {
            let problem = format!("{e}; the setting is a list of account IDs joined by commas");
            Error::invalid(ACCOUNTS, problem)
        })
    });
    accounts.collect()
}

fn shown(accounts: &BTreeSet<AccountId>) -> String {
    let first: Vec<&str> = accounts.iter().take(SHOWN).map(AccountId::as_str).collect();
    match accounts.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;

//! The check of every request before it begins: whether the function's settings allow it. Only AWS
//! Organizations is called.

use std::collections::BTreeSet;

use super::Handler;
use crate::allowed::{Allowed, given_to, lasts};
use crate::aws::{Aws, Membership};
use crate::error::Error;
use crate::ids::{AccountId, Region};
use crate::request::Request;

impl Handler {
    /// Accepts a request that is to be carried out, or looked at as if it were.
    pub(super) async fn permit(&self, aws: &Aws, request: &Request) -> Result<(), Error> {
        self.settings.needed_bucket()?;
        self.permit_words(aws, request).await
    }

    /// Accepts a request whose documents only are asked for: all but the bucket is needed.
    pub(super) async fn permit_words(&self, aws: &Aws, request: &Request) -> Result<(), Error> {
        if request.sharing.unshare {
            // Taking back is refused by no setting, not even by a malformed one.
            return Ok(());
        }
        let allowed = self.settings.allowed()?;
        self.settings.response_hosts(self.region()?)?;
        allowed.check(request)?;
        check_units(aws, &allowed, request).await?;
        let lasting = lasts(request).is_some();
        check_members(aws, &allowed, given_to(request), lasting).await
    }

    /// The function's own Region.
    pub(super) fn region(&self) -> Result<Region, Error> {
        let region = self.config.region();
        let region = region.and_then(|r| Region::parse(r.as_ref()).ok());
        region
            .ok_or_else(|| Error::Internal("the function has no Region: set AWS_REGION".to_owned()))
    }
}

/// Units belong to the source account's organization, which must be the allowed one.
async fn check_units(aws: &Aws, allowed: &Allowed, request: &Request) -> Result<(), Error> {
    let units = request.audience.as_ref().map(|audience| &audience.units);
    if allowed.organization().is_none() || units.is_none_or(Vec::is_empty) {
        return Ok(());
    }
    allowed.check_units(&aws.own_organization().await?)
}

/// Refuses accounts that are not listed and, by AWS Organizations, not in the allowed organization.
/// Where AWS Organizations does not say, a copy is left to IAM: it knows the organization of each
/// assumed role (`aws:ResourceOrgID`) before anything is opened. A `lasting` request is refused.
pub(super) async fn check_members<'a>(
    aws: &Aws,
    allowed: &Allowed,
    accounts: impl Iterator<Item = &'a AccountId>,
    lasting: bool,
) -> Result<(), Error> {
    let unlisted: BTreeSet<AccountId> = allowed.unlisted(accounts);
    let Some(organization) = allowed.organization().filter(|_| !unlisted.is_empty()) else {
        return allowed.check_accounts(unlisted.iter());
    };
    match aws.membership(organization.as_str(), &unlisted).await? {
        Membership::Outside(outside) => allowed.check_outside(&outside),
        Membership::Untold(why) if lasting => Err(allowed.unknown(&unlisted, &why)),
        Membership::Untold(why) => {
            tracing::info!(why, "the accounts' organization is left to IAM");
            Ok(())
        }
    }
}

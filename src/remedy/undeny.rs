//! The remedy if AWS named the policy that denied a call.

use super::{owners_of, role_of};
use crate::cause::Cause;
use crate::denial::{Denial, Policy};
use crate::state::{RunRef, TargetState};

impl Cause {
    /// Returns the remedy if AWS named the policy that denied, and neither the role's own policy
    /// nor a grant can help.
    pub(super) fn to_undeny(self, run: RunRef<'_>, target: &TargetState) -> Option<String> {
        let reason = target.failure.as_ref().map(|failure| &failure.reason)?;
        let denial = Denial::read(reason).filter(|denial| denial.is_final())?;
        let (account, region, who) = match self {
            Self::AccessDenied
            | Self::LaunchGrantMissing
            | Self::LaunchGrantLeft
            | Self::TagsNotChanged
            | Self::LaunchTestFailed
            | Self::NotPublished => {
                let role = role_of(target);
                (&target.account_id, &target.region, role)
            }
            // DescribeKey of a source key goes to the key's own Region.
            Self::SourceKeyDenied => (&target.account_id, run.copied_from(target), role_of(target)),
            Self::SharingFailed
            | Self::StagingFailed
            | Self::KeyPolicyDenied
            | Self::RoleNotAssumable => (
                &run.source.account_id,
                &run.source.region,
                "the function's role".to_owned(),
            ),
            _ => return None,
        };
        let owners = match self {
            Self::SourceKeyDenied | Self::SharingFailed | Self::KeyPolicyDenied => {
                owners_of(&run.copied_keys(target))
            }
            Self::RoleNotAssumable => target.account_id.to_string(),
            _ => account.to_string(),
        };
        Some(to_allow(
            denial.by,
            &account.to_string(),
            region.as_str(),
            &who,
            &owners,
            reason,
        ))
    }
}

/// Returns how to change the policy `by` so that `who` may make the call. `reason` is AWS's
/// message.
fn to_allow(
    by: Policy,
    account: &str,
    region: &str,
    who: &str,
    owners: &str,
    reason: &str,
) -> String {
    match by {
        Policy::ServiceControl => format!(
            "In the management account of the organization of {account}: let each service \
             control policy that applies to {account} allow {who} the action in the Region \
             {region} (one that locks Regions must spare {region}){}",
            tags_demanded(reason)
        ),
        Policy::ResourceControl => format!(
            "In the management account of the organization of {owners}: let each resource \
             control policy that applies to {owners} spare {who}"
        ),
        Policy::PermissionsBoundary => {
            format!("In account {account}: let the permissions boundary of {who} allow the action")
        }
        Policy::Session => format!(
            "The session policy that this function sends for {who} lacks the action: report it \
             with the Reason, and the version of the function"
        ),
        Policy::Identity => format!(
            "In account {account}: take the Deny for the action out of the policies of {who}, \
             or spare this resource"
        ),
        Policy::Resource => format!(
            "In account {owners}: take the Deny for {who} out of the policy of the resource \
             that the Reason names"
        ),
        Policy::Endpoint => format!(
            "In account {account}: let the policy of the VPC endpoint allow {who} the action"
        ),
    }
}

/// Returns a hint for calls that make a resource: a policy that demands tags denies them without.
fn tags_demanded(reason: &str) -> &'static str {
    let makes = ["CopySnapshot ", "RegisterImage "];
    if makes.iter().any(|operation| reason.starts_with(operation)) {
        "; if it demands tags (aws:RequestTag), give the request these as Tags"
    } else {
        ""
    }
}

//! The remedy for each cause: what a person changes, and in which account.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::ids::{AccountId, KeyArn};
use crate::request::KeyAccess;
use crate::state::{RunRef, TargetState};

mod facts;
mod undeny;

use facts::Facts;

impl Cause {
    /// Returns the remedy for this cause in this target, in one or a few sentences.
    pub fn remedy(self, run: RunRef<'_>, target: &TargetState) -> String {
        let remedy = self
            .to_undeny(run, target)
            .unwrap_or_else(|| self.change(run, target));
        if !target.stands() || self == Self::ImageDisabled {
            return remedy;
        }
        let kept = match run.share() {
            None => "the AMI and its snapshots are kept",
            Some(_) => "the AMI stays shared",
        };
        let rest = match self {
            Self::TagsNotChanged => "changes the tags",
            Self::LaunchGrantLeft => "takes the grant away",
            Self::LaunchTestFailed => "tests the launch again, and publishes the image",
            Self::NotPublished => "publishes the rest",
            _ => "makes the grant that is missing",
        };
        format!("{remedy}. Meanwhile {kept}: then send the same request again, which only {rest}")
    }

    fn change(self, run: RunRef<'_>, target: &TargetState) -> String {
        let facts = Facts::of(run, target);
        match self {
            Self::RoleNotAssumable => facts.role_not_assumable(),
            Self::TargetKeyMissing => facts.target_key_missing(),
            Self::TargetKeyDisabled => facts.target_key_disabled(),
            Self::TargetKeyUnsuitable => facts.target_key_unsuitable(),
            Self::SourceKeyDenied => facts.source_key_denied(),
            Self::SnapshotNotVisible => facts.snapshot_not_visible(),
            Self::KeyNotAccessible => facts.key_not_accessible(),
            Self::StagingFailed => Self::staging_remedy(run),
            Self::CopyFailed => {
                "Run again; if it fails the same way, look at the source snapshots and at the AWS \
         Health Dashboard"
                    .to_owned()
            }
            Self::ImageNotCopyable => {
                "EC2 does not copy this image into another account. Give the request Strategy: \
                 Snapshots, unless the copy must keep billing data; such an image has to be made \
                 in the target account, or shared (Mode: Share). An image from AWS Marketplace \
                 needs a subscription in each account"
                    .to_owned()
            }
            Self::TooSlow => Self::sooner(run),
            Self::NameTaken => facts.name_taken(),
            Self::ImageDisabled => facts.image_disabled(),
            Self::NotFaithful => facts.not_faithful(),
            Self::RegionNotEnabled => facts.region_not_enabled(),
            Self::SharingFailed => facts.sharing_failed(),
            Self::LedgerFailed => facts.ledger_failed(),
            Self::NotAllowed => facts.not_allowed(),
            Self::CountedOn => {
                "Nothing: the last resource or run that counts on it takes it away".to_owned()
            }
            Self::Overtaken => {
                "Nothing: CloudFormation was told, or will be, by the later event".to_owned()
            }
            Self::AttemptOver => {
                "Send the request again: it begins the next attempt. The sweeper, a stopped \
         execution or another process of the run closed this one"
                    .to_owned()
            }
            Self::UnknownAccount => facts.unknown_account(),
            Self::KeyPolicyDenied
            | Self::KeyPolicyTooLong
            | Self::KeyPolicyElsewhere
            | Self::KeyPolicyRefused => self.key_policy_remedy(run),
            Self::SourceGone => facts.source_gone(),
            Self::SourceUnreadable => facts.source_unreadable(),
            Self::AccessDenied => facts.access_denied(),
            Self::ServiceLinkedRoleMissing => facts.service_linked_role_missing(),
            Self::LaunchGrantMissing => facts.launch_grant_missing(),
            Self::LaunchGrantLeft => grant_to_revoke(target),
            Self::TagsNotChanged => tags_to_allow(target),
            Self::LaunchTestFailed => facts.launch_test_failed(),
            Self::NotPublished => facts.not_published(),
            Self::Throttled => facts.throttled(),
            Self::Unreachable => facts.unreachable(),
            Self::Other => Self::other_remedy(target),
        }
    }

    /// Returns whether AWS refused because of a full quota that no waiting empties.
    fn of_quota(target: &TargetState) -> bool {
        let failure = target.failure.as_ref();
        failure.is_some_and(|f| {
            f.reason.contains("LimitExceeded") || f.reason.contains("QuotaExceeded")
        })
    }

    fn other_remedy(target: &TargetState) -> String {
        if !Self::of_quota(target) {
            return "Read what AWS said; after changing it, run again: what is done already is \
                found and kept"
                .to_owned();
        }
        format!(
            "In account {}, Region {}: the quota that AWS names is full: remove what nobody needs \
             of what it counts, or ask for a higher quota (Service Quotas); then run again: what \
             is done already is found and kept",
            target.account_id, target.region
        )
    }

    /// Returns the remedy for copies that take too long.
    pub fn sooner(run: RunRef<'_>) -> String {
        if run.end_by != 0 {
            return "Give the resource a ServiceTimeout of 3600 seconds if it has a shorter one, \
                Wait: false, or its copies CopyCompletionMinutes"
                .to_owned();
        }
        let next = match run.order.copy_completion_minutes {
            None => "ask for a time-based copy with CopyCompletionMinutes",
            Some(_) => {
                "EC2 makes time-based copies of one snapshot one after another: name fewer targets \
                 in one request, or leave out CopyCompletionMinutes"
            }
        };
        format!(
            "The copy did not finish in time: {next}, or with a custom resource give it Wait: \
             false; then run again"
        )
    }

    /// Returns the remedy for a refused copy in the source account.
    pub fn staging_remedy(run: RunRef<'_>) -> String {
        let stages = run.stages();
        let keys: Vec<&str> = stages.iter().map(|stage| stage.key.as_str()).collect();
        let home = run.home_stage().is_some();
        let mut words = Vec::new();
        if home {
            words.push("ReencryptKmsKeyId");
        }
        if !run.order.staging_keys.is_empty() {
            words.push("StagingKmsKeyIds");
        }
        let read = if run.order.staging_keys.is_empty() {
            &run.source.managed_keys
        } else {
            &run.source.keys
        };
        format!(
            "In account {}: allow the function's role what docs/permissions.md lists for {} \
             (ec2:CopySnapshot and ec2:DeleteSnapshot; through EC2 the use of {} and of {}), in \
             its own policy and in the key policy; look for a service control policy that forbids \
             it. Then run again",
            run.source.account_id,
            words.join(" and "),
            keys.join(" and "),
            read.join(" and ")
        )
    }

    fn key_policy_remedy(self, run: RunRef<'_>) -> String {
        let source = &run.source.account_id;
        let keys = run.source.keys.join(" and ");
        match self {
            Self::KeyPolicyTooLong => format!(
                "Name the accounts by their OrganizationId or OrganizationalUnitIds, which takes \
                 three statements however many they are, or use KeyAccess: Grant; or shorten the \
                 policy of {keys} in account {source}"
            ),
            Self::KeyPolicyElsewhere => {
                let keys = run.source.keys.iter();
                let owners = owners_of(keys.filter(|key| key.account() != *source));
                format!(
                    "Ask account {owners} to let the targets use its key in its policy, and say \
                     KeyAccess: None; or to let the function's role kms:CreateGrant, \
                     kms:ListGrants and kms:RevokeGrant, and use KeyAccess: Grant"
                )
            }
            Self::KeyPolicyRefused => format!(
                "In account {source}: look at the policy of {keys}: it must be a policy that KMS \
                 takes as it stands (a principal that was deleted since must be taken out), and \
                 must let the function's role kms:PutKeyPolicy after the change as well; or use \
                 KeyAccess: Grant, which edits no policy"
            ),
            _ => format!(
                "In account {source}: allow the function's role kms:GetKeyPolicy and \
                 kms:PutKeyPolicy on {keys}, in its own policy (KeyPolicyAccess=true in the \
                 template) and in the key policy; or use KeyAccess: Grant"
            ),
        }
    }

    /// Returns the remedy if the source could not be opened, or not to the audience. `refused` is
    /// the refusal of the audience as the state keeps it: a text that begins with the operation.
    pub fn sharing_remedy(run: RunRef<'_>, refused: Option<&str>) -> String {
        let said = refused.unwrap_or_default();
        let (operation, words) = said.split_once(' ').unwrap_or_default();
        let code = words
            .split_once(": ")
            .map(|(_, code)| code)
            .unwrap_or_default();
        let code = code.split(|c: char| !c.is_alphanumeric()).next();
        if let Some(cause) = Self::of_key_policy(operation, code.unwrap_or_default()) {
            return cause.key_policy_remedy(run);
        }
        Self::remedy_of_sharing(run, said)
    }

    /// Returns the remedy for `said`, the message of a refused opening.
    pub fn remedy_of_sharing(run: RunRef<'_>, said: &str) -> String {
        let source = &run.source.account_id;
        let keys = run.all_opened_keys();
        let (keys, owners) = (keys.join(" and "), owners_of(&keys));
        if said.contains("LimitExceeded") && said.contains("Grant") {
            return format!(
                "In account {owners}: {keys} has as many grants as its quota (grants per key) \
                 allows: revoke grants that nobody needs (aws kms list-grants, aws kms \
                 revoke-grant), ask for a higher quota, or use KeyAccess: Policy, which makes no \
                 grants"
            );
        }
        if said.contains("LimitExceeded") {
            return format!(
                "In account {source}: the quota that AWS names is full: take back what nobody \
                 needs of the permissions on the image and its snapshots, or ask for a higher \
                 quota"
            );
        }
        let actions = match run.share() {
            Some(_) => {
                "ec2:ModifyImageAttribute on the image and ec2:ModifySnapshotAttribute on its \
                 snapshots"
            }
            None => "ec2:ModifySnapshotAttribute on the source snapshots",
        };
        let grants = if run.order.key_access == KeyAccess::Grant && !keys.is_empty() {
            format!(
                " and kms:CreateGrant on {keys}, in its own policy and in the key policy, which \
                 account {owners} edits"
            )
        } else {
            String::new()
        };
        format!(
            "In account {source}: check that the accounts named exist, and allow the function's \
             role {actions}{grants}; look for a service control policy of {source} that forbids \
             sharing, or a resource control policy of the key's account"
        )
    }
}

fn role_of(target: &TargetState) -> String {
    let partition = target.region.partition();
    target.role_name.arn(partition, &target.account_id)
}

fn grant_to_revoke(target: &TargetState) -> String {
    let (account, region, key) = (&target.account_id, &target.region, &target.kms_key_id);
    let role = role_of(target);
    format!(
        "In account {account}, Region {region}: allow {role} kms:ListGrants and kms:RevokeGrant on \
         {key}, in the role's policy and in the key policy, or revoke the grant that the Reason \
         names (aws kms revoke-grant)"
    )
}

fn tags_to_allow(target: &TargetState) -> String {
    let (account, role) = (&target.account_id, role_of(target));
    format!(
        "In account {account}: allow {role} ec2:CreateTags and ec2:DeleteTags on the copies, as \
         the statement Retag of docs/permissions.md does (a newer templates/target-role.yaml has \
         it); look for a policy that denies it. Where a resource has too many tags, take some off \
         the AMI or its snapshots"
    )
}

/// Returns the accounts of these keys, which alone can edit their policies.
fn owners_of<'a>(keys: impl IntoIterator<Item = &'a KeyArn>) -> String {
    let owners: BTreeSet<AccountId> = keys.into_iter().map(KeyArn::account).collect();
    Vec::from_iter(owners).join(" and ")
}

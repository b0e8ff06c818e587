//! The remedy for each cause: what a person changes, in whose account.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::denial::{Denial, Policy};
use crate::ids::{ImageId, KeyRef};
use crate::kms;
use crate::request::KeyAccess;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, TargetState};

impl Cause {
    /// What to change, and where.
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
            _ => "makes the grant that is missing",
        };
        format!("{remedy}. Meanwhile {kept}: then send the same request again, which only {rest}")
    }

    /// What to change where AWS named the policy that denied it, and no change of the role's own policy or of a grant helps.
    fn to_undeny(self, run: RunRef<'_>, target: &TargetState) -> Option<String> {
        let reason = target.failure.as_ref().map(|failure| &failure.reason)?;
        let denial = Denial::read(reason).filter(|denial| denial.is_final())?;
        let (account, region, who) = match self {
            Self::AccessDenied
            | Self::LaunchGrantMissing
            | Self::LaunchGrantLeft
            | Self::TagsNotChanged => {
                let role = role_of(target);
                (&target.account_id, &target.region, role)
            }
            // The key is asked in its own Region.
            Self::SourceKeyDenied => (&target.account_id, &run.source.region, role_of(target)),
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
                owners_of(&run.opened_keys())
            }
            Self::RoleNotAssumable => target.account_id.to_string(),
            _ => account.to_string(),
        };
        Some(match denial.by {
            Policy::ServiceControl => format!(
                "In the management account of the organization of {account}: let each service control policy that applies to {account} allow {who} the action in the Region {region} (one that locks Regions must spare {region}){}",
                tags_demanded(reason)
            ),
            Policy::ResourceControl => format!(
                "In the management account of the organization of {owners}: let each resource control policy that applies to {owners} spare {who}"
            ),
            Policy::PermissionsBoundary => format!(
                "In account {account}: let the permissions boundary of {who} allow the action"
            ),
            Policy::Session => format!(
                "The session policy that this function sends for {who} lacks the action: report it with the Reason, and the version of the function"
            ),
            Policy::Identity => format!(
                "In account {account}: take the Deny for the action out of the policies of {who}, or spare this resource"
            ),
            Policy::Resource => format!(
                "In account {owners}: take the Deny for {who} out of the policy of the resource that the Reason names"
            ),
            Policy::Endpoint => format!(
                "In account {account}: let the policy of the VPC endpoint allow {who} the action"
            ),
        })
    }

    fn change(self, run: RunRef<'_>, target: &TargetState) -> String {
        let TargetState {
            account_id: account,
            region,
            kms_key_id: key,
            role_name,
            ..
        } = target;
        let source = &run.source.account_id;
        let role = role_name.arn(region.partition(), account);
        let keys = run.opened_keys();
        let (keys, owners) = (keys.join(" and "), owners_of(&keys));
        match self {
            Self::RoleNotAssumable => format!(
                "In account {account}: create the role {role_name}, or let its trust policy allow sts:AssumeRole to this function's role in account {source} \
                 (with the same ExternalId as the request, if it names one). In account {source}: allow the function's role sts:AssumeRole on {role}; \
                 see whether account {account} is suspended, and whether a service control policy of {source} or a resource control policy of {account} denies it"
            ),
            Self::TargetKeyMissing => format!(
                "In account {account}, Region {region}: check that {key} exists there, and allow {role} kms:DescribeKey on it, in the role's policy and in the key policy"
            ),
            Self::TargetKeyDisabled => format!("In account {account}, Region {region}: enable {key}, cancel its deletion, or name another KmsKeyId"),
            Self::TargetKeyUnsuitable => format!("In account {account}, Region {region}: create a symmetric key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT) and name it as KmsKeyId"),
            Self::SourceKeyDenied => format!(
                "In account {account}: allow {role} kms:DescribeKey, kms:CreateGrant, kms:Decrypt, kms:ReEncrypt* and kms:GenerateDataKeyWithoutPlaintext on {keys}, and see that the account has enabled the source's Region {}. With KeyAccess None, also allow it in the policy of that key, in account {owners}; look for a resource control policy of {owners} that denies it",
                run.source.region
            ),
            Self::SnapshotNotVisible => format!(
                "In account {source}: see whether another process removes {account} from the createVolumePermission of the source snapshots, or whether a service control policy forbids sharing; then run again"
            ),
            Self::KeyNotAccessible => format!(
                "In account {account}: allow {role} kms:DescribeKey, kms:CreateGrant, kms:Decrypt, kms:ReEncrypt* and kms:GenerateDataKeyWithoutPlaintext on {key} (role policy and key policy), \
                 and the same on {keys}{}; look for a condition (kms:ViaService, kms:GrantIsForAWSResource, aws:SourceArn, kms:EncryptionContext), a service control policy of {account} or a resource control policy of {owners} that forbids it",
                if run.order.key_access == KeyAccess::None { format!(" (role policy, and key policy in account {owners})") } else { String::new() }
            ),
            Self::StagingFailed => Self::staging_remedy(run),
            Self::CopyFailed => "Run again; if it fails the same way, look at the source snapshots and at the AWS Health Dashboard".to_owned(),
            Self::TooSlow => Self::sooner(run),
            Self::NameTaken => format!(
                "In account {account}, Region {region}: another image has this name. Rename or deregister it, or give the request a Name such as {{name}}-{{image}}"
            ),
            Self::ImageDisabled => {
                let image = target.image_id.as_ref().map_or("IMAGE", ImageId::as_str);
                format!(
                    "In account {account}: enable it (aws ec2 enable-image --image-id {image} --region {region}), or deregister it; then run again"
                )
            }
            Self::NotFaithful => format!(
                "The copy is not what the source is now; it was discarded if this run made it, and kept if it stood before. If the source was changed since, \
                 give the request a Name such as {{name}}-{{image}}, or deregister the older copy in account {account}. If PlatformDetails or UsageOperation differ, \
                 EC2 does not let account {account} own such an image: use the original there"
            ),
            Self::RegionNotEnabled => format!("In account {account}: enable the Region {region} (aws account enable-region --region-name {region}), or leave it out of the targets"),
            Self::SharingFailed => {
                let said = target.failure.as_ref().map(|failure| failure.reason.as_str());
                Self::remedy_of_sharing(run, said.unwrap_or_default())
            }
            Self::LedgerFailed => format!(
                "In account {source}: set AMIFERRY_BUCKET to the stack's bucket, and allow the function's role s3:GetObject, s3:PutObject and s3:DeleteObject on its objects under runs/ and openings/, and s3:ListBucket on it; look for a bucket policy that denies it"
            ),
            Self::NotAllowed => format!(
                "In account {source}: set the template parameters AllowedAccountIds, OrganizationId and AllowShare to what may be given to whom, then send the request again"
            ),
            Self::CountedOn => "Nothing: the last resource or run that counts on it takes it away".to_owned(),
            Self::Overtaken => "Nothing: CloudFormation was told, or will be, by the later event".to_owned(),
            Self::AttemptOver => "Send the request again: it begins the next attempt. The sweeper, a stopped execution or another process of the run closed this one".to_owned(),
            Self::UnknownAccount => format!(
                "Check that account {account} exists and is active, or leave it out: KMS takes no key policy that names an account it does not know"
            ),
            Self::KeyPolicyDenied
            | Self::KeyPolicyTooLong
            | Self::KeyPolicyElsewhere
            | Self::KeyPolicyRefused => self.key_policy_remedy(run),
            Self::SourceGone => format!("Keep {} until its distribution has ended; name an image that exists and run again", run.source.image_id),
            Self::SourceUnreadable => format!(
                "In account {source}: let the function's role read {} (ec2:DescribeImages, ec2:DescribeImageAttribute and ec2:DescribeSnapshots, with ReencryptKmsKeyId also kms:DescribeKey); where AWS asked for patience, see what else uses up the account's requests in {}, and the AWS Health Dashboard. Then run again",
                run.source.image_id, run.source.region
            ),
            Self::AccessDenied => format!(
                "In account {account}: allow the action in the policy of {role}; if it is allowed there, look for a permissions boundary, a service control policy or a resource control policy that denies it"
            ),
            Self::ServiceLinkedRoleMissing => format!(
                "In account {account}: {}; or give the request CreateServiceLinkedRoles: true, and allow {role} iam:CreateServiceLinkedRole",
                missing_roles(run, target)
            ),
            Self::LaunchGrantMissing => match run.share() {
                None => format!(
                    "In account {account}, Region {region}: allow {role} kms:ListGrants and kms:CreateGrant on {key}, in the role's policy and in the key policy; look for a condition or a service control policy that forbids it"
                ),
                Some(_) => format!(
                    "In account {account}: allow {role} kms:CreateGrant on {}. With KeyAccess None, let the policy of that key allow account {account} kms:CreateGrant, without the condition kms:GrantIsForAWSResource, and all that the grant is to allow",
                    run.source.keys.join(" and ")
                ),
            },
            Self::LaunchGrantLeft => grant_to_revoke(target),
            Self::TagsNotChanged => tags_to_allow(target),
            Self::Throttled => format!("Run again later; if it persists, ask for a higher EC2 request quota in account {account}, Region {region}"),
            Self::Unreachable => format!("Run again; if it persists, check the network path to {region} and the AWS Health Dashboard"),
            Self::Other => Self::other_remedy(target),
        }
    }

    /// Whether AWS refused because a quota is full that no waiting empties.
    fn of_quota(target: &TargetState) -> bool {
        let failure = target.failure.as_ref();
        failure.is_some_and(|f| {
            f.reason.contains("LimitExceeded") || f.reason.contains("QuotaExceeded")
        })
    }

    fn other_remedy(target: &TargetState) -> String {
        if !Self::of_quota(target) {
            return "Read what AWS said; after changing it, run again: what is done already is found and kept".to_owned();
        }
        format!(
            "In account {}, Region {}: the quota that AWS names is full: remove what nobody needs of what it counts, or ask for a higher quota (Service Quotas); then run again: what is done already is found and kept",
            target.account_id, target.region
        )
    }

    fn sooner(run: RunRef<'_>) -> String {
        if run.end_by != 0 {
            return "Give the resource a ServiceTimeout of 3600 seconds if it has a shorter one, Wait: false, or its copies CopyCompletionMinutes"
                .to_owned();
        }
        let next = match run.order.copy_completion_minutes {
            None => "ask for a time-based copy with CopyCompletionMinutes",
            Some(_) => {
                "EC2 makes time-based copies of one snapshot one after another: name fewer targets in one request, or leave out CopyCompletionMinutes"
            }
        };
        format!(
            "The copy did not finish in time: {next}, or with a custom resource give it Wait: false; then run again"
        )
    }

    pub fn staging_remedy(run: RunRef<'_>) -> String {
        format!(
            "In account {}: allow the function's role what docs/permissions.md lists for ReencryptKmsKeyId (ec2:CopySnapshot and ec2:DeleteSnapshot; through EC2 the use of {} and of {}), in its own policy and in the key policy; look for a service control policy that forbids it. Then run again",
            run.source.account_id,
            run.order
                .reencrypt_key
                .as_ref()
                .map_or("the key", KeyRef::as_str),
            run.source.managed_keys.join(" and ")
        )
    }

    fn key_policy_remedy(self, run: RunRef<'_>) -> String {
        let source = &run.source.account_id;
        let keys = run.source.keys.join(" and ");
        match self {
            Self::KeyPolicyTooLong => format!(
                "Name the accounts by their OrganizationId or OrganizationalUnitIds, which takes three statements however many they are, or use KeyAccess: Grant; or shorten the policy of {keys} in account {source}"
            ),
            Self::KeyPolicyElsewhere => {
                let own = format!(":{source}:");
                let elsewhere = run.source.keys.iter().filter(|key| !key.contains(&own));
                let owners = owners_of(&elsewhere.cloned().collect::<Vec<_>>());
                format!(
                    "Ask account {owners} to let the targets use its key in its policy, and say KeyAccess: None; or to let the function's role kms:CreateGrant, kms:ListGrants and kms:RevokeGrant, and use KeyAccess: Grant"
                )
            }
            Self::KeyPolicyRefused => format!(
                "In account {source}: look at the policy of {keys}: it must be a policy that KMS takes as it stands (a principal that was deleted since must be taken out), and must let the function's role kms:PutKeyPolicy after the change as well; or use KeyAccess: Grant, which edits no policy"
            ),
            _ => format!(
                "In account {source}: allow the function's role kms:GetKeyPolicy and kms:PutKeyPolicy on {keys}, in its own policy (KeyPolicyAccess=true in the template) and in the key policy; or use KeyAccess: Grant"
            ),
        }
    }

    /// What to change where the source could not be opened, or not to the audience.
    pub fn sharing_remedy(run: RunRef<'_>, refused: Option<&str>) -> String {
        // What refused the audience is kept as words, which begin with the operation.
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

    /// What to change where AWS said this of opening the source.
    pub fn remedy_of_sharing(run: RunRef<'_>, said: &str) -> String {
        let source = &run.source.account_id;
        let keys = run.opened_keys();
        let (keys, owners) = (keys.join(" and "), owners_of(&keys));
        if said.contains("LimitExceeded") && said.contains("Grant") {
            return format!(
                "In account {owners}: {keys} has as many grants as its quota (grants per key) allows: revoke grants that nobody needs (aws kms list-grants, aws kms revoke-grant), ask for a higher quota, or use KeyAccess: Policy, which makes no grants"
            );
        }
        if said.contains("LimitExceeded") {
            return format!(
                "In account {source}: the quota that AWS names is full: take back what nobody needs of the permissions on the image and its snapshots, or ask for a higher quota"
            );
        }
        let actions = match run.share() {
            Some(_) => {
                "ec2:ModifyImageAttribute on the image and ec2:ModifySnapshotAttribute on its snapshots"
            }
            None => "ec2:ModifySnapshotAttribute on the source snapshots",
        };
        let grants = if run.order.key_access == KeyAccess::Grant && !keys.is_empty() {
            format!(
                " and kms:CreateGrant on {keys}, in its own policy and in the key policy, which account {owners} edits"
            )
        } else {
            String::new()
        };
        format!(
            "In account {source}: check that the accounts named exist, and allow the function's role {actions}{grants}; look for a service control policy of {source} that forbids sharing, or a resource control policy of the key's account"
        )
    }
}

/// A policy that demands tags denies what makes a thing without them.
fn tags_demanded(reason: &str) -> &'static str {
    let makes = ["CopySnapshot ", "RegisterImage "];
    if makes.iter().any(|operation| reason.starts_with(operation)) {
        "; if it demands tags (aws:RequestTag), give the request these as Tags"
    } else {
        ""
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
        "In account {account}, Region {region}: allow {role} kms:ListGrants and kms:RevokeGrant on {key}, in the role's policy and in the key policy, or revoke the grant that the Reason names (aws kms revoke-grant)"
    )
}

fn tags_to_allow(target: &TargetState) -> String {
    let (account, role) = (&target.account_id, role_of(target));
    format!(
        "In account {account}: allow {role} ec2:CreateTags and ec2:DeleteTags on the copies, as the statement Retag of docs/permissions.md does (a newer templates/target-role.yaml has it); look for a policy that denies it. Where a resource has too many tags, take some off the AMI or its snapshots"
    )
}

/// The accounts of these keys, which alone can edit their policies.
fn owners_of(keys: &[String]) -> String {
    let owners: BTreeSet<&str> = keys.iter().filter_map(|key| kms::owner(key)).collect();
    Vec::from_iter(owners).join(" and ")
}

/// How to make the roles that the failure names.
fn missing_roles(run: RunRef<'_>, target: &TargetState) -> String {
    let reason = target.failure.as_ref().map_or("", |f| f.reason.as_str());
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    let words = reason.split(|c| !of_a_name(c));
    let named = |role: &&ServiceLinkedRole| {
        let name = role.role_name();
        words.clone().any(|word| word.trim_end_matches(',') == name)
    };
    let roles = &run.order.service_linked_roles;
    let missing: Vec<String> = roles
        .iter()
        .filter(named)
        .map(ServiceLinkedRole::command)
        .collect();
    missing.join("; ")
}

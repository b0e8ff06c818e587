//! The texts of the remedies that depend on the target alone.

use super::owners_of;
use crate::cause::Cause;
use crate::ids::{AccountId, ImageId, KeyRef, Region, RoleName};
use crate::request::KeyAccess;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, TargetState};

/// The facts that the texts name.
pub(super) struct Facts<'a> {
    run: RunRef<'a>,
    target: &'a TargetState,
    account: &'a AccountId,
    region: &'a Region,
    key: &'a KeyRef,
    role_name: &'a RoleName,
    source: &'a AccountId,
    /// The ARN of the copy role.
    role: String,
    /// The opened keys, as a list in words.
    keys: String,
    /// The accounts of the opened keys, as a list in words.
    owners: String,
}

impl<'a> Facts<'a> {
    pub(super) fn of(run: RunRef<'a>, target: &'a TargetState) -> Self {
        let keys = run.copied_keys(target);
        Self {
            run,
            target,
            account: &target.account_id,
            region: &target.region,
            key: &target.kms_key_id,
            role_name: &target.role_name,
            source: &run.source.account_id,
            role: super::role_of(target),
            owners: owners_of(&keys),
            keys: keys.join(" and "),
        }
    }
}

impl Facts<'_> {
    pub(super) fn role_not_assumable(&self) -> String {
        let Self {
            account,
            role_name,
            source,
            role,
            ..
        } = self;
        format!(
            "In account {account}: create the role {role_name}, or let its trust policy allow \
             sts:AssumeRole to this function's role in account {source} (with the same \
             ExternalId as the request, if it names one). In account {source}: allow the \
             function's role sts:AssumeRole on {role}; see whether account {account} is \
             suspended, and whether a service control policy of {source} or a resource control \
             policy of {account} denies it"
        )
    }

    pub(super) fn target_key_missing(&self) -> String {
        let Self {
            account,
            region,
            key,
            role,
            ..
        } = self;
        format!(
            "In account {account}, Region {region}: check that {key} exists there, and allow \
             {role} kms:DescribeKey on it, in the role's policy and in the key policy"
        )
    }

    pub(super) fn target_key_disabled(&self) -> String {
        let Self {
            account,
            region,
            key,
            ..
        } = self;
        format!(
            "In account {account}, Region {region}: enable {key}, cancel its deletion, or name \
             another KmsKeyId"
        )
    }

    pub(super) fn target_key_unsuitable(&self) -> String {
        let Self {
            account, region, ..
        } = self;
        format!(
            "In account {account}, Region {region}: create a symmetric key (SYMMETRIC_DEFAULT, \
             ENCRYPT_DECRYPT) and name it as KmsKeyId"
        )
    }

    pub(super) fn source_key_denied(&self) -> String {
        let Self {
            account,
            role,
            keys,
            owners,
            run,
            target,
            ..
        } = self;
        format!(
            "In account {account}: allow {role} kms:DescribeKey, kms:CreateGrant, kms:Decrypt, \
             kms:ReEncrypt* and kms:GenerateDataKeyWithoutPlaintext on {keys}, and see that \
             the account has enabled the source's Region {}. With KeyAccess None, also allow \
             it in the policy of that key, in account {owners}; look for a resource control \
             policy of {owners} that denies it",
            run.copied_from(target)
        )
    }

    pub(super) fn snapshot_not_visible(&self) -> String {
        let Self {
            account, source, ..
        } = self;
        format!(
            "In account {source}: see whether another process removes {account} from the \
             createVolumePermission of the source snapshots, or whether a service control \
             policy forbids sharing; then run again"
        )
    }

    pub(super) fn key_not_accessible(&self) -> String {
        let Self {
            account,
            key,
            role,
            keys,
            owners,
            run,
            ..
        } = self;
        format!(
            "In account {account}: allow {role} kms:DescribeKey, kms:CreateGrant, kms:Decrypt, \
             kms:ReEncrypt* and kms:GenerateDataKeyWithoutPlaintext on {key} (role policy and \
             key policy), and the same on {keys}{}; look for a condition (kms:ViaService, \
             kms:GrantIsForAWSResource, aws:SourceArn, kms:EncryptionContext), a service \
             control policy of {account} or a resource control policy of {owners} that forbids \
             it",
            if run.order.key_access == KeyAccess::None {
                format!(" (role policy, and key policy in account {owners})")
            } else {
                String::new()
            }
        )
    }

    pub(super) fn name_taken(&self) -> String {
        let Self {
            account, region, ..
        } = self;
        format!(
            "In account {account}, Region {region}: another image has this name. Rename or \
             deregister it, or give the request a Name such as {{name}}-{{image}}"
        )
    }

    pub(super) fn image_disabled(&self) -> String {
        let Self {
            account,
            region,
            target,
            ..
        } = self;
        let image = target.image_id.as_ref().map_or("IMAGE", ImageId::as_str);
        format!(
            "In account {account}: enable it (aws ec2 enable-image --image-id {image} \
             --region {region}), or deregister it; then run again"
        )
    }

    pub(super) fn not_faithful(&self) -> String {
        let Self { account, .. } = self;
        format!(
            "The copy is not what the source is now; it was discarded if this run made it, and \
             kept if it stood before. If the source was changed since, give the request a Name \
             such as {{name}}-{{image}}, or deregister the older copy in account {account}. If \
             PlatformDetails or UsageOperation differ, EC2 does not let account {account} own \
             such an image: use the original there"
        )
    }

    pub(super) fn region_not_enabled(&self) -> String {
        let Self {
            account, region, ..
        } = self;
        format!(
            "In account {account}: enable the Region {region} (aws account enable-region \
             --region-name {region}), or leave it out of the targets"
        )
    }

    pub(super) fn sharing_failed(&self) -> String {
        let Self { run, target, .. } = self;
        let said = target
            .failure
            .as_ref()
            .map(|failure| failure.reason.as_str());
        Cause::remedy_of_sharing(*run, said.unwrap_or_default())
    }

    pub(super) fn ledger_failed(&self) -> String {
        let Self { source, .. } = self;
        format!(
            "In account {source}: set AMIFERRY_BUCKET to the stack's bucket, and allow the \
             function's role s3:GetObject, s3:PutObject and s3:DeleteObject on its objects \
             under runs/ and openings/, and s3:ListBucket on it; look for a bucket policy that \
             denies it"
        )
    }

    pub(super) fn not_allowed(&self) -> String {
        let Self { source, .. } = self;
        format!(
            "In account {source}: set the template parameters AllowedAccountIds, \
             OrganizationId and AllowShare to what may be given to whom, then send the request \
             again"
        )
    }

    pub(super) fn launch_test_failed(&self) -> String {
        let Self { account, run, .. } = self;
        let wish = run.order.publish.as_ref();
        let test = wish.and_then(|wish| wish.launch_test.as_ref());
        let denied = if test.is_some_and(|test| test.auto_scaling) {
            "Auto Scaling's service-linked role may not use the copy's key (name \
             autoscaling.amazonaws.com in ServiceLinkedRoles)"
        } else {
            "the copy role may not use the copy's key for an instance"
        };
        format!(
            "In account {account}: launch an instance of the AMI by hand and read its console \
             output; Client.InternalError means that {denied}, any other reason that the AMI does \
             not boot on this instance type or in this subnet"
        )
    }

    pub(super) fn not_published(&self) -> String {
        let Self { account, role, .. } = self;
        format!(
            "In account {account}: change what the reason names; where a call was denied, allow \
             it in the policy of {role} (the parameters of target-role.yaml that begin with \
             Publish, and LaunchTests)"
        )
    }

    pub(super) fn unknown_account(&self) -> String {
        let Self { account, .. } = self;
        format!(
            "Check that account {account} exists and is active, or leave it out: KMS takes no \
             key policy that names an account it does not know"
        )
    }

    pub(super) fn source_gone(&self) -> String {
        let Self { run, .. } = self;
        format!(
            "Keep {} until its distribution has ended; name an image that exists and run again",
            run.source.image_id
        )
    }

    pub(super) fn source_unreadable(&self) -> String {
        let Self { source, run, .. } = self;
        format!(
            "In account {source}: let the function's role read {} (ec2:DescribeImages, \
             ec2:DescribeImageAttribute and ec2:DescribeSnapshots, with ReencryptKmsKeyId also \
             kms:DescribeKey); where AWS asked for patience, see what else uses up the \
             account's requests in {}, and the AWS Health Dashboard. Then run again",
            run.source.image_id, run.source.region
        )
    }

    pub(super) fn access_denied(&self) -> String {
        let Self { account, role, .. } = self;
        format!(
            "In account {account}: allow the action in the policy of {role}; if it is allowed \
             there, look for a permissions boundary, a service control policy or a resource \
             control policy that denies it"
        )
    }

    pub(super) fn service_linked_role_missing(&self) -> String {
        let Self {
            account,
            role,
            run,
            target,
            ..
        } = self;
        format!(
            "In account {account}: {}; or give the request CreateServiceLinkedRoles: true, and \
             allow {role} iam:CreateServiceLinkedRole",
            missing_roles(*run, target)
        )
    }

    pub(super) fn launch_grant_missing(&self) -> String {
        let Self {
            account,
            region,
            key,
            role,
            run,
            ..
        } = self;
        match run.share() {
            None => format!(
                "In account {account}, Region {region}: allow {role} kms:ListGrants and \
                 kms:CreateGrant on {key}, in the role's policy and in the key policy; look \
                 for a condition or a service control policy that forbids it"
            ),
            Some(_) => format!(
                "In account {account}: allow {role} kms:CreateGrant on {}. With KeyAccess \
                 None, let the policy of that key allow account {account} kms:CreateGrant, \
                 without the condition kms:GrantIsForAWSResource, and all that the grant is to \
                 allow",
                run.source.keys.join(" and ")
            ),
        }
    }

    pub(super) fn throttled(&self) -> String {
        let Self {
            account, region, ..
        } = self;
        format!(
            "Run again later; if it persists, ask for a higher EC2 request quota in account \
             {account}, Region {region}"
        )
    }

    pub(super) fn unreachable(&self) -> String {
        let Self { region, .. } = self;
        format!(
            "Run again; if it persists, check the network path to {region} and the AWS Health \
             Dashboard"
        )
    }
}

/// Returns the commands that make the roles that the failure names.
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

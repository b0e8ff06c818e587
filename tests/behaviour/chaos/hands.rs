//! Acts of other people in the middle of a schedule.

use amiferry_sandbox::{Aws, BlockDeviceMapping, Ebs, Image, Limits, Sandbox, Snapshot};

use crate::support::*;

/// An act of another person, at a time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    CopyBreaks(u8),
    CopyDeleted,
    SessionsExpire,
    RoleDropped,
    KeyDisabled,
    /// The source key is disabled.
    SourceKeyDisabled,
    /// The policy of a target's key stops admitting any principal.
    KeyPolicyChanged,
    /// A service control policy denies a target the actions of copying.
    ServiceControlPolicy,
    AccountSuspended,
    /// A person revokes the grants of a run.
    GrantsRevoked,
    /// The quota of concurrent copies is zero for an hour.
    QuotaFull,
    SourceDeregistered,
    RegionDisabled,
    SharingTakenAway,
    /// A person permits another account, which must stay permitted.
    AccountPermitted,
    /// A person tags a source snapshot. The tag must stay.
    SourceTagged,
    /// A person registers an image in a target. The image must stay.
    ForeignImage,
    /// A person registers an image under the name that the copy is to have.
    NameTaken,
}

pub const HANDS: [Hand; 20] = [
    Hand::CopyBreaks(0),
    Hand::CopyBreaks(50),
    Hand::CopyBreaks(99),
    Hand::CopyDeleted,
    Hand::SessionsExpire,
    Hand::RoleDropped,
    Hand::KeyDisabled,
    Hand::SourceKeyDisabled,
    Hand::KeyPolicyChanged,
    Hand::ServiceControlPolicy,
    Hand::AccountSuspended,
    Hand::GrantsRevoked,
    Hand::QuotaFull,
    Hand::SourceDeregistered,
    Hand::RegionDisabled,
    Hand::SharingTakenAway,
    Hand::AccountPermitted,
    Hand::SourceTagged,
    Hand::ForeignImage,
    Hand::NameTaken,
];

const NO_COPIES: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"},
    {"Effect": "Deny", "Action": ["ec2:CopySnapshot", "ec2:RegisterImage"], "Resource": "*"}]}"#;

/// The account that others permit, and the names of what they have in a target.
pub const GUEST: &str = "888888888888";
pub const FOREIGN_IMAGE: &str = "ami-0fffffffffffffff1";
pub const FOREIGN_SNAPSHOT: &str = "snap-0fffffffffffffff1";

impl Hand {
    /// Performs the act, if its object exists.
    pub fn meddle(self, sandbox: &Sandbox, places: &[Place]) {
        if self == Self::GrantsRevoked {
            let grants = sandbox.grants(SOURCE_KEY);
            sandbox.edit(|aws| {
                for grant in grants {
                    aws.revoke_grant(SOURCE_KEY, &grant.grant_id);
                }
            });
            return;
        }
        let (account, region) = places[0];
        let role = format!("arn:aws:iam::{account}:role/AmiCopyRole");
        let _was_there: bool = sandbox.edit(|aws| match self {
            Self::CopyBreaks(percent) => {
                let copy = aws.pending_copies().into_iter().next();
                copy.is_some_and(|copy| aws.fail_copy_at(&copy, percent, "internal error"))
            }
            Self::CopyDeleted => {
                let copy = aws.pending_copies().into_iter().next();
                copy.is_some_and(|copy| aws.delete_snapshot(&copy))
            }
            Self::SessionsExpire => {
                aws.expire_sessions();
                true
            }
            Self::RoleDropped => aws.drop_principal(&role),
            Self::KeyDisabled => aws.disable_key(&key_arn((account, region))),
            Self::SourceKeyDisabled => aws.disable_key(SOURCE_KEY),
            Self::KeyPolicyChanged => narrow_key_policy(aws, (account, region)),
            Self::ServiceControlPolicy => aws
                .set_service_control_policies(account, &[NO_COPIES])
                .expect("a policy"),
            Self::AccountSuspended => aws.suspend_account(account),
            Self::GrantsRevoked => true,
            Self::QuotaFull => {
                aws.set_limits(Limits {
                    concurrent_copies: 0,
                    ..Limits::default()
                });
                true
            }
            Self::SourceDeregistered => aws.delete_image(AMI),
            Self::RegionDisabled => aws.disable_region(account, region),
            Self::SharingTakenAway => {
                let mut ids = [ROOT, DATA].iter();
                ids.all(|id| aws.unshare_snapshot(id, account))
            }
            Self::AccountPermitted => [ROOT, DATA].iter().all(|id| aws.share_snapshot(id, GUEST)),
            Self::SourceTagged => aws.change_snapshot(ROOT, |snapshot| {
                snapshot
                    .tags
                    .insert("owner".to_owned(), "somebody".to_owned());
            }),
            Self::ForeignImage => foreign(aws, account, region, "theirs"),
            Self::NameTaken => foreign(aws, account, region, "golden-copied-from-111111111111"),
        });
    }
}

/// Takes the use of a target's key from every principal of its account.
fn narrow_key_policy(aws: &mut Aws, (account, region): Place) -> bool {
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow",
            "Principal": {{"AWS": "arn:aws:iam::{account}:root"}},
            "Action": ["kms:Describe*", "kms:PutKeyPolicy"], "Resource": "*"}}]}}"#
    );
    let changed = aws.set_key_policy(&key_arn((account, region)), &policy);
    changed.expect("a policy")
}

/// Registers an image of another person in a target, at most once.
fn foreign(aws: &mut Aws, account: &str, region: &str, name: &str) -> bool {
    let snapshot = Snapshot::new(region, FOREIGN_SNAPSHOT, 8);
    let image = Image::new(region, FOREIGN_IMAGE, name).mapping(BlockDeviceMapping::ebs(
        "/dev/xvda",
        Ebs::snapshot(FOREIGN_SNAPSHOT),
    ));
    aws.add_snapshot(account, snapshot).is_ok() && aws.add_image(account, image).is_ok()
}

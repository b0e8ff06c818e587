//! The cause of a failed target, derived from the refusal of AWS. [`crate::remedy`] says what to
//! change.
//!
//! - `RoleNotAssumable`: AssumeRole is denied.
//! - `TargetKeyMissing`: DescribeKey on the target key is denied, or finds no key.
//! - `TargetKeyDisabled`: the target key is disabled or pending deletion.
//! - `TargetKeyUnsuitable`: the target key is asymmetric, or not for encryption.
//! - `SourceKeyDenied`: DescribeKey on a source key is denied, although the grant is minutes old.
//! - `SnapshotNotVisible`: CopySnapshot answers InvalidSnapshot.NotFound, although the snapshot was
//!   shared minutes ago; or a copy ends by the source snapshot.
//! - `KeyNotAccessible`: a copy ends with `Given key ID is not accessible`.
//! - `CopyFailed`: a copy ends in `error` for another reason.
//! - `ImageNotCopyable`: CopyImage answers InvalidRequest: EC2 does not copy such an image into
//!   another account.
//! - `NameTaken`: InvalidAMIName.Duplicate names an image that is not ours.
//! - `ImageDisabled`: the target's image is disabled.
//! - `RegionNotEnabled`: AWS answers OptInRequired or AuthFailure.
//! - `ServiceLinkedRoleMissing`: CreateGrant answers InvalidArnException: KMS does not know the
//!   service-linked role.
//! - `LaunchGrantMissing`: a grant to launch is refused for another reason.
//! - `LaunchGrantLeft`: RevokeGrant is refused for a role that an update took off the list.
//! - `TagsNotChanged`: CreateTags or DeleteTags of an existing copy is refused.
//! - `LaunchTestFailed`: the instance of a launch test ends by itself, or fails its status checks.
//! - `NotPublished`: a call of publishing is refused.
//! - `KeyPolicyDenied`: GetKeyPolicy or PutKeyPolicy is denied.
//! - `UnknownAccount`: PutKeyPolicy does not know an account, whichever account it is.
//! - `KeyPolicyTooLong`: the policy would exceed 32 KB.
//! - `KeyPolicyElsewhere`: the key belongs to another account.
//! - `KeyPolicyRefused`: the policy is refused for another reason.
//! - `StagingFailed`: a copy in the source account is refused, or ends in `error` each time.
//! - `SourceUnreadable`: the source cannot be read, in many calls.
//! - `AccessDenied`: any other denial, and each that an explicit deny or a policy above the role
//!   causes.

use serde::{Deserialize, Serialize};

use crate::error::{Refusal, RefusalKind};

/// Why a target failed. Step states contain these names, so the list changes only by addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The copy role of the target cannot be assumed.
    RoleNotAssumable,
    /// The target key does not exist, or the copy role cannot describe it.
    TargetKeyMissing,
    /// The target key is disabled or pending deletion.
    TargetKeyDisabled,
    /// EBS cannot encrypt with the target key.
    TargetKeyUnsuitable,
    /// The copy role cannot use a source key.
    SourceKeyDenied,
    /// The copy role cannot see a source snapshot.
    SnapshotNotVisible,
    /// EC2 cannot use the source key or the target key for the copy.
    KeyNotAccessible,
    /// A copy ended in `error`, for a reason that AWS does not tell.
    CopyFailed,
    /// EC2 does not copy such an image into another account.
    ImageNotCopyable,
    /// The copies did not end before the deadline or the limit of a copy.
    TooSlow,
    /// Another image has the name already.
    NameTaken,
    /// The target's image exists, but is disabled.
    ImageDisabled,
    /// The image in the target differs from the source.
    NotFaithful,
    /// The account has not enabled the Region.
    RegionNotEnabled,
    /// The source could not be opened to the account.
    SharingFailed,
    /// The ledger could not be read or written, so nothing was opened.
    LedgerFailed,
    /// The function's settings do not allow this account.
    NotAllowed,
    /// The attempt was closed before the target was done.
    AttemptOver,
    /// A later event of the custom resource decides about the target.
    Overtaken,
    /// The copy stays because another run or resource counts on it.
    CountedOn,
    /// The function's role may not read or write a key policy.
    KeyPolicyDenied,
    /// The key policy would exceed 32 KB.
    KeyPolicyTooLong,
    /// The key belongs to another account, which alone can edit its policy.
    KeyPolicyElsewhere,
    /// KMS refused the key policy.
    KeyPolicyRefused,
    /// KMS does not know the account.
    UnknownAccount,
    /// The source image does not exist any more.
    SourceGone,
    /// AWS denied a call for another reason.
    AccessDenied,
    /// The image is good, but a service-linked role that should launch from it does not exist.
    ServiceLinkedRoleMissing,
    /// The image is good, but a service-linked role has no grant to launch from it.
    LaunchGrantMissing,
    /// The image is good, but a service-linked role that an update took off the list may still
    /// launch from it.
    LaunchGrantLeft,
    /// The image is good, but has its former tags, or some of them.
    TagsNotChanged,
    /// The image is good, but an instance of it did not run, or did not pass its status checks.
    LaunchTestFailed,
    /// The image is good, but could not be published where the request says.
    NotPublished,
    /// A snapshot that cannot be shared could not be copied in the source account.
    StagingFailed,
    /// AWS did not describe the source in any of many calls.
    SourceUnreadable,
    /// AWS throttled the calls for too long.
    Throttled,
    /// AWS did not answer, or did not show a resource in time.
    Unreachable,
    /// AWS refused a call for a reason that no other cause covers.
    Other,
}

impl Cause {
    /// Returns the cause that a refusal of one of a target's commands stands for.
    pub fn of(refusal: &Refusal) -> Self {
        match (refusal.operation, refusal.code.as_str()) {
            (
                _,
                "OptInRequired"
                | "AuthFailure"
                | "InvalidClientTokenId"
                | "UnrecognizedClientException",
            ) => Self::RegionNotEnabled,
            (_, "InvalidAMIName.Duplicate") => Self::NameTaken,
            ("CopyImage", "InvalidRequest") => Self::ImageNotCopyable,
            ("AssumeRole", _) if refusal.kind() == RefusalKind::Denied => Self::RoleNotAssumable,
            // The key may exist: a policy keeps the copy role from describing it.
            _ if refusal.is_final_denial() => Self::AccessDenied,
            ("DescribeKey", "DisabledException" | "KMSInvalidStateException") => {
                Self::TargetKeyDisabled
            }
            ("DescribeKey", "InvalidKeyUsageException") => Self::TargetKeyUnsuitable,
            ("DescribeKey", _)
                if matches!(refusal.kind(), RefusalKind::Denied | RefusalKind::NotFound) =>
            {
                Self::TargetKeyMissing
            }
            _ => match refusal.kind() {
                RefusalKind::Denied => Self::AccessDenied,
                RefusalKind::Throttled | RefusalKind::QuotaFull => Self::Throttled,
                RefusalKind::Uncertain | RefusalKind::Expired => Self::Unreachable,
                RefusalKind::NotFound | RefusalKind::Final => Self::Other,
            },
        }
    }

    /// Returns the cause that a refusal to open the source stands for.
    pub fn of_sharing(refusal: &Refusal) -> Self {
        if refusal.resource.starts_with("s3://") {
            return Self::LedgerFailed;
        }
        Self::of_key_policy(refusal.operation, &refusal.code).unwrap_or(Self::SharingFailed)
    }

    /// Returns the cause that a refused call about a key policy stands for; `None` for other
    /// operations.
    pub fn of_key_policy(operation: &str, code: &str) -> Option<Self> {
        let edits = matches!(operation, "GetKeyPolicy" | "PutKeyPolicy");
        edits.then_some(match code {
            "AccessDeniedException" | "AccessDenied" => Self::KeyPolicyDenied,
            "KeyPolicyTooLong" | "LimitExceededException" => Self::KeyPolicyTooLong,
            "KeyOfAnotherAccount" => Self::KeyPolicyElsewhere,
            "UnknownAccount" => Self::UnknownAccount,
            "KeyPolicyChanging"
            | "Throttling"
            | "ThrottlingException"
            | "Timeout"
            | "ConnectionFailed"
            | "KMSInternalException"
            | "DependencyTimeoutException"
            | "ServiceUnavailable"
            | "UnreadableAnswer" => return None,
            _ => Self::KeyPolicyRefused,
        })
    }
}

//! The cause of a failed target, from what AWS refused. What a person changes is in [`crate::remedy`].
//!
//! | refusal | cause |
//! |---|---|
//! | AssumeRole denied | `RoleNotAssumable` |
//! | DescribeKey on the target key denied or not found | `TargetKeyMissing` |
//! | target key disabled or pending deletion | `TargetKeyDisabled` |
//! | target key asymmetric, or not for encryption | `TargetKeyUnsuitable` |
//! | DescribeKey on a source key denied, although the grant is minutes old | `SourceKeyDenied` |
//! | CopySnapshot: InvalidSnapshot.NotFound, although shared minutes ago; a copy ends by the source snapshot | `SnapshotNotVisible` |
//! | copy ends with `Given key ID is not accessible` | `KeyNotAccessible` |
//! | copy ends in `error` otherwise | `CopyFailed` |
//! | InvalidAMIName.Duplicate by an image not ours | `NameTaken` |
//! | the target's image is disabled | `ImageDisabled` |
//! | OptInRequired, AuthFailure | `RegionNotEnabled` |
//! | CreateGrant: InvalidArnException, the service-linked role is none that KMS knows | `ServiceLinkedRoleMissing` |
//! | any other refusal of a grant to launch | `LaunchGrantMissing` |
//! | RevokeGrant of a grant to launch refused, for a role that an update took off the list | `LaunchGrantLeft` |
//! | CreateTags or DeleteTags of a copy that stands refused | `TagsNotChanged` |
//! | GetKeyPolicy or PutKeyPolicy denied | `KeyPolicyDenied` |
//! | PutKeyPolicy, with one account or without | `UnknownAccount` |
//! | a policy that would be longer than 32 KB | `KeyPolicyTooLong` |
//! | a key of another account | `KeyPolicyElsewhere` |
//! | any other refusal of a policy | `KeyPolicyRefused` |
//! | copying in the source account refused, or ended in `error` each time | `StagingFailed` |
//! | the source cannot be read, in many calls | `SourceUnreadable` |
//! | any other denial, and each that an explicit deny or a policy above the role causes | `AccessDenied` |

use serde::{Deserialize, Serialize};

use crate::error::{Refusal, RefusalKind};

/// Why a target failed. The names are in step states: they change only by addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    RoleNotAssumable,
    TargetKeyMissing,
    TargetKeyDisabled,
    /// A key that EBS cannot encrypt with.
    TargetKeyUnsuitable,
    SourceKeyDenied,
    SnapshotNotVisible,
    KeyNotAccessible,
    CopyFailed,
    TooSlow,
    NameTaken,
    /// The target's image is there, but disabled.
    ImageDisabled,
    NotFaithful,
    RegionNotEnabled,
    SharingFailed,
    /// The ledger could not be read or written: nothing was opened.
    LedgerFailed,
    /// The function's settings do not allow to give it to this account.
    NotAllowed,
    /// The attempt was closed before this target was done.
    AttemptOver,
    /// A later event of the custom resource decides what becomes of the target.
    Overtaken,
    /// The copy stays because somebody else counts on it.
    CountedOn,
    KeyPolicyDenied,
    KeyPolicyTooLong,
    KeyPolicyElsewhere,
    KeyPolicyRefused,
    UnknownAccount,
    SourceGone,
    AccessDenied,
    /// The image stands; a service-linked role that is to launch from it does not exist.
    ServiceLinkedRoleMissing,
    /// The image stands; a service-linked role has no grant to launch from it.
    LaunchGrantMissing,
    /// The image stands; a service-linked role that an update took off the list may launch from it still.
    LaunchGrantLeft,
    /// The image stands with its former tags, or some of them.
    TagsNotChanged,
    /// What cannot be shared as it is could not be copied in the source account.
    StagingFailed,
    /// AWS did not tell of the source, however often it was asked.
    SourceUnreadable,
    Throttled,
    Unreachable,
    Other,
}

impl Cause {
    /// What a refusal of one of a target's commands means.
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
            ("AssumeRole", _) if refusal.kind() == RefusalKind::Denied => Self::RoleNotAssumable,
            // The key may well be there.
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

    /// What it means that the source could not be opened.
    pub fn of_sharing(refusal: &Refusal) -> Self {
        if refusal.resource.starts_with("s3://") {
            return Self::LedgerFailed;
        }
        Self::of_key_policy(refusal.operation, &refusal.code).unwrap_or(Self::SharingFailed)
    }

    /// What it means that a key policy could not be read or written.
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

//! Commands, and their outcomes. Each command finds what it made before it makes it again:
//!
//! - `Share`: before the first permission, the ledger names the holders, and the preexisting
//!   permissions.
//! - `Share` (grants): CreateGrant with the same name and parameters returns the same grant.
//! - `Share` (key policies): statements are found by their `Sid`, which contains the run.
//! - `Start`: CopySnapshot has no token. Copies carry the tag `amiferry:key`, a look comes first,
//!   and surplus copies are deleted.
//! - `LookStaged`, `Stage`: as `Start`, in the source account, with a tag of the run's own.
//!   `Revoke` deletes all of them.
//! - `Register`: EC2 refuses the second image of a name.
//! - `Tidy`, `Undo`, `Remove`: a resource that does not exist any more counts as deleted.
//! - `Retag`: a tag is set to its new value, and deleted only while it has its former value.
//! - `Grant`: an equal grant is looked for first, and CreateGrant has a name. An existing
//!   service-linked role counts as made.
//! - `Revoke`: announces itself in the ledger, removes what the record allows, and buries it.
//!   Staged copies are deleted after that.

use std::collections::BTreeSet;

use crate::copies::{Copies, Staged};
use crate::digest::digest;
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, KeyRef, Region, SnapshotId};
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, TargetState};

/// The tags of every resource that this project makes.
pub mod tag {
    /// The ID of the run that made the resource.
    pub const RUN: &str = "amiferry:run";
    /// The ID of the source image.
    pub const SOURCE_IMAGE: &str = "amiferry:source-image";
    /// The ID of the source account.
    pub const SOURCE_ACCOUNT: &str = "amiferry:source-account";
    /// The digest by which a copy is found again; see [`copy_key`](super::copy_key).
    pub const KEY: &str = "amiferry:key";
    /// The prefix of all tags above.
    pub const OURS: &str = "amiferry:";
}

/// One thing to do. `target` is an index of `State::targets`, and `snapshots` are indices of the
/// source's snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Open the source to the accounts of these targets.
    Share {
        /// Indices of the targets.
        targets: Vec<usize>,
    },
    /// Find this run's copies of the source in the source account.
    LookStaged,
    /// Start a copy of each of these snapshots in the source account.
    Stage {
        /// Indices of the source's snapshots.
        snapshots: Vec<usize>,
    },
    /// Find the key, the image and the copies in the target.
    Look {
        /// The index of the target.
        target: usize,
    },
    /// Start a copy of each of these snapshots.
    Start {
        /// The index of the target.
        target: usize,
        /// Indices of the source's snapshots.
        snapshots: Vec<usize>,
    },
    /// Read the status of the target's copies.
    Poll {
        /// The index of the target.
        target: usize,
    },
    /// Register the image on the copies.
    Register {
        /// The index of the target.
        target: usize,
    },
    /// Verify the image.
    Check {
        /// The index of the target.
        target: usize,
    },
    /// Delete copies that the target's image does not use.
    Tidy {
        /// The index of the target.
        target: usize,
    },
    /// Delete what the run made in the target.
    Undo {
        /// The index of the target.
        target: usize,
    },
    /// Deregister the target's image and delete its copies.
    Remove {
        /// The index of the target.
        target: usize,
    },
    /// Change the tags of an existing copy to those that an update asks for.
    Retag {
        /// The index of the target.
        target: usize,
    },
    /// Let the service-linked roles of the request launch: one grant for each.
    Grant {
        /// The index of the target.
        target: usize,
    },
    /// Close the source.
    Revoke,
}

impl Command {
    /// Returns the index of the target that the command is about; `None` for the source.
    pub fn target(&self) -> Option<usize> {
        match self {
            Self::Share { .. } | Self::LookStaged | Self::Stage { .. } | Self::Revoke => None,
            Self::Look { target }
            | Self::Start { target, .. }
            | Self::Poll { target }
            | Self::Register { target }
            | Self::Check { target }
            | Self::Tidy { target }
            | Self::Undo { target }
            | Self::Remove { target }
            | Self::Retag { target }
            | Self::Grant { target } => Some(*target),
        }
    }

    /// Returns whether the command makes or removes something that a later event of the custom
    /// resource may want otherwise.
    pub fn changes(&self) -> bool {
        match self {
            Self::Share { .. }
            | Self::Stage { .. }
            | Self::Start { .. }
            | Self::Register { .. }
            | Self::Remove { .. }
            | Self::Retag { .. }
            | Self::Grant { .. } => true,
            Self::LookStaged
            | Self::Look { .. }
            | Self::Poll { .. }
            | Self::Check { .. }
            | Self::Tidy { .. }
            | Self::Undo { .. }
            | Self::Revoke => false,
        }
    }

    /// Returns the name for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Share { .. } => "Share",
            Self::LookStaged => "LookStaged",
            Self::Stage { .. } => "Stage",
            Self::Look { .. } => "Look",
            Self::Start { .. } => "Start",
            Self::Poll { .. } => "Poll",
            Self::Register { .. } => "Register",
            Self::Check { .. } => "Check",
            Self::Tidy { .. } => "Tidy",
            Self::Undo { .. } => "Undo",
            Self::Remove { .. } => "Remove",
            Self::Retag { .. } => "Retag",
            Self::Grant { .. } => "Grant",
            Self::Revoke => "Revoke",
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source is open, except to the refused.
    Opened {
        /// Accounts to which the run had the source open already when the command began.
        earlier: Vec<AccountId>,
        /// Indices of the refused targets, each with its refusal.
        refused: Vec<(usize, Refusal)>,
        /// The refusal of the audience.
        audience: Option<Refusal>,
    },
    /// Opening was refused, although part of it may have taken effect.
    OpeningRefused(Refusal),
    /// The closing of another attempt must end first.
    Wait {
        /// When to try again (Unix seconds).
        until: i64,
        /// Why the command has to wait.
        why: String,
    },
    /// The function's settings do not allow this opening; the text says why.
    NotAllowed(String),
    /// The attempt is over and opens nothing more; the text says why.
    Over(String),
    /// A later event of the custom resource has precedence, and wants these targets.
    Overtaken(BTreeSet<(AccountId, Region)>),
    /// The target's role could be assumed and its key can be used.
    Looked {
        /// The target key by its ARN.
        key: KeyRef,
        /// The target's image, if it exists.
        image: Option<ImageId>,
        /// All copies of each source snapshot.
        copies: Copies,
    },
    /// Copies were started, or refused.
    Started {
        /// The index of each snapshot with its new copy, or with the refusal.
        results: Vec<(usize, Result<SnapshotId, Refusal>)>,
    },
    /// The target cannot use a source key yet.
    KeyNotReady(Refusal),
    /// The copies of each source snapshot, read again.
    Polled(Copies),
    /// This run's copies in the source account.
    StagedSeen(Staged),
    /// The image is registered.
    Registered(ImageId),
    /// An image that is not ours has the name; `None` if EC2 does not show that image yet.
    NameTaken(Option<ImageId>, Refusal),
    /// The resource is not visible or not available yet; the text names it.
    NotYet(String),
    /// The image equals its source.
    Faithful {
        /// The copies that the image stands on.
        used: Vec<SnapshotId>,
        /// Whether the target has surplus copies.
        surplus: bool,
    },
    /// The image differs from its source; each text is one difference.
    Unfaithful(Vec<String>),
    /// The target's image exists, but is disabled.
    Disabled(ImageId),
    /// The target was to be undone, but its image exists.
    ImageThere(ImageId),
    /// Service-linked roles with these names do not exist, or KMS does not see them; with the
    /// refusal for the first.
    RolesMissing(Vec<String>, Refusal),
    /// The target or the source is tidied, undone, removed, retagged, granted, or revoked.
    Done,
    /// The source is closed. An earlier try of the run may have made copies for the accounts in
    /// `earlier`.
    Closed {
        /// Accounts to which the source was open already when this process began.
        earlier: Vec<AccountId>,
        /// Whether another request joined the attempt: its process may have copied too.
        joined: bool,
        /// Openings that were left behind, each with the refusal.
        left: Vec<(String, Refusal)>,
    },
    /// Resources that were to be removed stay; each text says why.
    Kept(Vec<String>),
    /// Some resources could not be deleted; each comes with its refusal.
    Left(Vec<(String, Refusal)>),
    /// AWS refused the command.
    Refused(Refusal),
    /// The source image does not exist any more; the text names it.
    SourceGone(String),
}

/// Returns the tag by which a copy is found again: a digest of source snapshot, account, Region and
/// key.
pub fn copy_key(source: &SnapshotId, target: &TargetState) -> String {
    copy_key_under(source, target, target.kms_key_id.as_str())
}

/// Returns [`copy_key`] under a key other than that of the target's state: another process may have
/// resolved the alias.
pub fn copy_key_under(source: &SnapshotId, target: &TargetState, key: &str) -> String {
    digest([
        source.as_str(),
        target.account_id.as_str(),
        target.region.as_str(),
        key,
    ])
}

/// Returns the tag of a staged copy. Each run has its own, so no other run deletes the copy.
pub fn staging_key(source: &SnapshotId, run: RunRef<'_>) -> String {
    let key = run.order.reencrypt_key.as_ref();
    digest([
        "staged",
        run.id,
        source.as_str(),
        key.map_or("", KeyRef::as_str),
    ])
}

/// Returns the tag of a target's image.
pub fn image_key(image: &ImageId, target: &TargetState) -> String {
    digest([
        image.as_str(),
        target.account_id.as_str(),
        target.region.as_str(),
        target.kms_key_id.as_str(),
    ])
}

/// Returns the prefix of the names of all grants of a run.
pub fn grant_prefix(run: &str) -> String {
    format!("amiferry-{run}-")
}

/// The prefix of the grants on a target's own key that let service-linked roles launch.
///
/// These grants belong to no run: each run that needs one finds it first, so no key has two of
/// them.
pub const LAUNCH_PREFIX: &str = "amiferry-launch-";

/// Returns the name of the grant by which `role` launches in a target: from the target's own image,
/// or from the source image.
pub fn launch_grant_name(
    run: RunRef<'_>,
    target: &TargetState,
    role: &ServiceLinkedRole,
) -> String {
    let role = role.in_grant_name();
    match run.share() {
        None => format!("{LAUNCH_PREFIX}{role}"),
        Some(_) => format!("{}{}/{role}", grant_prefix(run.id), target.account_id),
    }
}

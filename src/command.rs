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
//! - `CopyImage`: a token of the attempt, the target and the number of lost images. Of two images
//!   that two runs copy, the older counts, and each run deletes its own younger one.
//! - `Register`: EC2 refuses the second image of a name.
//! - `Tidy`, `Undo`, `Remove`: a resource that does not exist any more counts as deleted.
//! - `Retag`: a tag is set to its new value, and deleted only while it has its former value.
//! - `Grant`: an equal grant is looked for first, and CreateGrant has a name. An existing
//!   service-linked role counts as made.
//! - `Publish`: each part reads what is in force before it changes it. The instance of a launch
//!   test is found by its client token.
//! - `Revoke`: announces itself in the ledger, removes what the record allows, and buries it.
//!   Staged copies are deleted after that.

use crate::digest::digest;
use crate::ids::{ImageId, SnapshotId};
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, Stage, TargetState};

mod outcome;

pub use outcome::{
    Begun, Checked, Closed, CopiedImage, Granted, ImageProgress, Left, Looked, Opened, Outcome,
    Publication, Registered, Removed, Rest, Retagged, Revoked, Shared, SourceGone, SourceOutcome,
    Staging, Started, TargetOutcome, Undone, Wait,
};

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
    /// On the instance of a launch test and its volumes: the ID of the image.
    pub const LAUNCH_TEST: &str = "amiferry:launch-test";
    /// The prefix of all tags above.
    pub const OURS: &str = "amiferry:";
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// About the source, for all targets at once.
    Source(SourceCommand),
    /// In the target of this index of `State::targets`.
    Target(usize, TargetCommand),
}

/// One thing to do about the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceCommand {
    /// Open the source to the accounts of these targets.
    Share {
        /// Indices of the targets.
        targets: Vec<usize>,
    },
    /// Find this run's copies of the source in the source account.
    LookStaged,
    /// Start a copy of each of these snapshots in the source account.
    Stage {
        /// Places of the staged copies: for each stage, one for each of the source's snapshots.
        places: Vec<usize>,
    },
    /// Close the source.
    Revoke,
}

/// One thing to do in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetCommand {
    /// Find the key, the image and the copies in the target.
    Look,
    /// Start a copy of each of these snapshots.
    Start {
        /// Indices of the source's snapshots.
        snapshots: Vec<usize>,
    },
    /// Read the status of the target's copies.
    Poll,
    /// Copy the image as a whole.
    CopyImage,
    /// Read the status of an image that is copied as a whole.
    PollImage,
    /// Register the image on the copies.
    Register,
    /// Verify the image.
    Check,
    /// Delete copies that the target's image does not use.
    Tidy,
    /// Delete what the run made in the target.
    Undo,
    /// Deregister the target's image and delete its copies.
    Remove,
    /// Change the tags of an existing copy to those that an update asks for.
    Retag,
    /// Let the service-linked roles of the request launch: one grant for each.
    Grant,
    /// Publish the image where the request says.
    Publish,
    /// Terminate the instance of a launch test that is given up.
    EndTest,
}

impl Command {
    /// Returns the index of the target that the command is about; `None` for the source.
    pub fn target(&self) -> Option<usize> {
        match self {
            Self::Source(_) => None,
            Self::Target(target, _) => Some(*target),
        }
    }

    /// Returns whether the command makes or removes something that a later event of the custom
    /// resource may want otherwise.
    pub fn changes(&self) -> bool {
        use {SourceCommand as S, TargetCommand as T};
        match self {
            Self::Source(S::Share { .. } | S::Stage { .. })
            | Self::Target(
                _,
                T::Start { .. }
                | T::CopyImage
                | T::Register
                | T::Remove
                | T::Retag
                | T::Grant
                | T::Publish,
            ) => true,
            Self::Source(S::LookStaged | S::Revoke)
            | Self::Target(
                _,
                T::Look | T::Poll | T::PollImage | T::Check | T::Tidy | T::Undo | T::EndTest,
            ) => false,
        }
    }

    /// Returns whether the command's calls depend on the source image. `lasting` says that the run
    /// is a lasting share.
    pub fn needs_source(&self, lasting: bool) -> bool {
        use {SourceCommand as S, TargetCommand as T};
        match self {
            Self::Source(S::Share { .. } | S::LookStaged | S::Stage { .. })
            | Self::Target(
                _,
                T::Look | T::Start { .. } | T::CopyImage | T::Register | T::Check | T::Retag,
            ) => true,
            Self::Source(S::Revoke) | Self::Target(_, T::Grant) => lasting,
            Self::Target(
                _,
                T::Poll | T::PollImage | T::Tidy | T::Undo | T::Remove | T::Publish | T::EndTest,
            ) => false,
        }
    }

    /// Returns the name for the log.
    pub fn name(&self) -> &'static str {
        use {SourceCommand as S, TargetCommand as T};
        match self {
            Self::Source(S::Share { .. }) => "Share",
            Self::Source(S::LookStaged) => "LookStaged",
            Self::Source(S::Stage { .. }) => "Stage",
            Self::Source(S::Revoke) => "Revoke",
            Self::Target(_, T::Look) => "Look",
            Self::Target(_, T::Start { .. }) => "Start",
            Self::Target(_, T::Poll) => "Poll",
            Self::Target(_, T::CopyImage) => "CopyImage",
            Self::Target(_, T::PollImage) => "PollImage",
            Self::Target(_, T::Register) => "Register",
            Self::Target(_, T::Check) => "Check",
            Self::Target(_, T::Tidy) => "Tidy",
            Self::Target(_, T::Undo) => "Undo",
            Self::Target(_, T::Remove) => "Remove",
            Self::Target(_, T::Retag) => "Retag",
            Self::Target(_, T::Grant) => "Grant",
            Self::Target(_, T::Publish) => "Publish",
            Self::Target(_, T::EndTest) => "EndTest",
        }
    }
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
pub fn staging_key(source: &SnapshotId, run: RunRef<'_>, stage: Stage<'_>) -> String {
    digest(["staged", run.id, source.as_str(), stage.key.as_str()])
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

/// Returns the token by which EC2 knows a repeated CopyImage: every process of the attempt has the
/// same, until an image is lost.
pub fn image_token(run: RunRef<'_>, target: &TargetState) -> String {
    let attempt = run.attempt().to_string();
    let key = image_key(&run.source.image_id, target);
    digest([
        "copy-image",
        attempt.as_str(),
        &key,
        &target.work.lost_images.to_string(),
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
